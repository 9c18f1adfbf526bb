"""Libraries of the `data` extra, asked for before they are imported."""

from __future__ import annotations

from functools import cache

from ggez_hub.extras import require_of


@cache
def require(*libraries: str) -> None:
    """Raise MissingExtra for the first library that is not installed; asked once in a process."""
    require_of("data", *libraries)
