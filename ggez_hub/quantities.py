"""Numbers of things in messages."""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with what it counts: `1 card`, `2,000 cards`; `many` where -s is not the plural.

    Words that agree with it belong to both: `counted(n, "card is", "cards are")`.
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
