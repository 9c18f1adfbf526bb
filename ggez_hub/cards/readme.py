"""What any README on the Hub may be asked: its size, and the licence that it declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# A README is text for people; one of megabytes is a mistake or an attack on the parser.
MAX_CARD_BYTES = 4_000_000


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
