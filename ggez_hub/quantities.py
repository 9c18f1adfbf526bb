"""Numbers of things in messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with what it counts: `1 card`, `2,000 cards`; `many` where -s is not the plural.

    Words that agree with it belong to both: `counted(n, "card is", "cards are")`.
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def interval_text(value: float, low: float, high: float, sign: str = "", *, digits: int = 2) -> str:
    """A figure with its interval: `71.20 [69.80, 72.50]`."""
    spec = f"{sign}.{digits}f"
    return f"{value:{spec}} [{low:{spec}}, {high:{spec}}]"


def figure_text(figure: Mapping[str, Any] | None, absent: str = "-", sign: str = "") -> str:
    """The same of a figure as results hold it: {value, interval}."""
    if figure is None:
        return absent
    low, high = figure["interval"]
    return interval_text(figure["value"], low, high, sign)
