"""The cells of a row, as the types that a mapping says; whatever else they hold is Malformed."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from typing import Any

from ggez_hub.data import mapping
from ggez_hub.data.example import UNKNOWN

WHOLE = re.compile(r"-?[0-9]{1,18}")


class Malformed(Exception):
    """A value of a row is not what the mapping says; the reason is a count in the report."""

    def __init__(self, reason: str, row: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.row = row


def picture_path(cell: Any) -> str:
    """The path of a picture's cell, or nothing."""
    path = cell.get("path") if isinstance(cell, dict) else cell
    return path if isinstance(path, str) else ""


def said(row: Mapping[str, Any], ref: mapping.Ref | None, parse: Any) -> str:
    """What a field says, parsed; `unknown` if it says nothing or nothing that is known."""
    text = scalar(row, ref)
    return (parse(text) or UNKNOWN) if text else UNKNOWN


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def scalar(row: Mapping[str, Any], ref: mapping.Ref | None) -> str:
    """The text of a scalar, empty for null."""
    if ref is None:
        return ""
    if not isinstance(ref, str):
        return ref.value
    value = row.get(ref)
    if isinstance(value, str):
        return value
    # What is absent may be written as a number that is none; `nan` in letters is a language.
    if _absent(value):
        return ""
    if isinstance(value, int | float):
        return str(value)
    raise Malformed(f"{ref}: wrong type")


def text_of(row: Mapping[str, Any], column: str | None) -> str:
    """A string that is not empty, without the space around it."""
    value = row.get(column or "")
    if isinstance(value, str):
        if value := value.strip():
            return value
        raise Malformed(f"{column}: empty")
    raise Malformed(f"{column}: empty" if value is None else f"{column}: wrong type")


def texts_of(row: Mapping[str, Any], column: str | None) -> list[str]:
    """A list of strings; also one that is written as text, as CSV files have it."""
    value = row.get(column or "")
    if isinstance(value, str) and value.startswith("["):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise Malformed(f"{column}: wrong type") from None
    if value is None:
        raise Malformed(f"{column}: empty")
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Malformed(f"{column}: wrong type")
    return value


def index_of(row: Mapping[str, Any], column: str) -> int:
    """A whole number; also one that is written as text."""
    value = row.get(column)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and WHOLE.fullmatch(value.strip()):
        return int(value)
    raise Malformed(f"{column}: empty" if value is None else f"{column}: wrong type")


def number_of(row: Mapping[str, Any], column: str) -> float | None:
    """A number, None for null and for what is no number."""
    value = row.get(column)
    if _absent(value):
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise Malformed(f"{column}: out of range") from None
    raise Malformed(f"{column}: wrong type")
