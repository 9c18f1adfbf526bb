"""Any README of the Hub: how large it may be, the licence that it declares, how one is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

# A README is text for people; one of megabytes is a mistake or an attack on the parser, which takes
# three seconds for one. A card with a curve of 21 betas has a tenth of it.
MAX_CARD_BYTES = 1_000_000


def license_of(front_matter: Mapping[str, Any]) -> str:
    """The licence that front matter declares, by the Hub's id; `unknown` if it declares none.

    Of the licence `other` it is the `license_name`: https://huggingface.co/docs/hub/repositories-licenses
    """
    declared = front_matter.get("license")
    if declared == "other" and front_matter.get("license_name"):
        declared = front_matter["license_name"]
    if not isinstance(declared, str) or not declared.strip():
        return "unknown"
    return declared.strip().lower()


def read_readme(folder: Path) -> str:
    """The text of the README.md in a folder; empty without one, or if it is too large."""
    file = folder / "README.md"
    if not file.is_file() or file.stat().st_size > MAX_CARD_BYTES:
        return ""
    return file.read_text(encoding="utf-8", errors="replace")


def readme_text(front: Mapping[str, Any], parts: Iterable[str]) -> str:
    """A README with the keys of `front` that have a value, and the parts that are not empty."""
    known = {key: value for key, value in front.items() if value}
    block = yaml.safe_dump(known, sort_keys=False, allow_unicode=True)
    return f"---\n{block}---\n\n" + "\n\n".join(part for part in parts if part) + "\n"
