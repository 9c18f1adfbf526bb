"""Files of a site: data as calls of one function, tables as CSV and JSON. All content is text."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ggez_hub.cards.values import UNKNOWN
from ggez_hub.digests import finite

SAFE = re.compile(r"[a-z0-9._-]{1,150}")
# Spreadsheets take a cell that begins so for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def slug_of(path: str) -> str:
    """The name of an adapter in addresses and files, from the path of its card: th.vlm.name."""
    named = path.removeprefix("cards/").removesuffix(".md").replace("/", ".")
    if SAFE.fullmatch(named) and ".." not in named:
        return named
    plain = re.sub(r"[^a-z0-9_-]+", "-", named.lower())[:80]
    region, family, *_ = path.removeprefix("cards/").split("/")
    return f"{region}.{family}.{plain}-{hashlib.sha256(path.encode()).hexdigest()[:12]}"


def https(address: str) -> str | None:
    """An address that a page may link to; None for others."""
    return address if re.fullmatch(r"https://[^\s\"'<>]+", address) else None


def known(value: Any) -> Any:
    """The same with None for what a card says is unknown."""
    if isinstance(value, Mapping):
        return {key: known(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [known(part) for part in value]
    return None if value == UNKNOWN else value


def as_json(value: Any) -> str:
    """JSON in ASCII that no HTML parser takes for a tag, null for what is not a number."""
    text = json.dumps(finite(value), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def write_data(folder: Path, key: str, value: Any) -> None:
    """Write data/KEY.js: a call of `ggezData` with the key and the value."""
    path = folder / "data" / f"{key}.js"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"ggezData({as_json(key)},{as_json(value)});\n", encoding="ascii")


def write_table(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Write tables/NAME.csv and .json of rows with the same keys; returns where they are."""
    (folder / "tables").mkdir(exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    found = {"name": name, "csv": f"tables/{name}.csv", "json": f"tables/{name}.json"}
    (folder / found["csv"]).write_text(text.getvalue(), encoding="utf-8", newline="")
    (folder / found["json"]).write_text(as_json(rows) + "\n", encoding="ascii")
    return found


def _cell(value: Any) -> Any:
    if isinstance(value, list | tuple):
        value = " ".join(map(str, value))
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value
