"""Libraries of the extras, checked before they are imported."""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from ggez_hub.errors import MissingExtra


@cache
def require(extra: str, *libraries: str) -> None:
    """Raise MissingExtra for the first library of an extra that is not installed."""
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            raise MissingExtra(library, extra)


@contextmanager
def without_collections() -> Iterator[None]:
    """Import large libraries without looking for garbage among what stays: a fifth of their time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            # To the oldest generation at once, in place of three passes over half a million objects.
            gc.freeze()
            gc.unfreeze()
            gc.enable()
