"""Libraries of the extras, checked before they are imported."""

from __future__ import annotations

import importlib.util
from functools import cache

from ggez_hub.errors import MissingExtra


@cache
def require(extra: str, *libraries: str) -> None:
    """Raise MissingExtra for the first library of an extra that is not installed."""
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            raise MissingExtra(library, extra)
