"""Libraries of the `eval` extra, asked for before they are imported."""

from __future__ import annotations

from ggez_hub.extras import require_of


def require(*libraries: str) -> None:
    """Raise MissingExtra for the first library that is not installed."""
    require_of("eval", *libraries)
