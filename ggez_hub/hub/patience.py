"""Trying again: what a busy hub or a broken line refuses now is often granted a moment later.

huggingface_hub waits and tries again by itself while it opens a file; it does not when it asks for a
repository, and not when a body ends in a reset or an answer of 5xx.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

ATTEMPTS = 4
FIRST_WAIT = 1.0  # seconds; doubled each time
LONGEST_WAIT = 60.0  # seconds; a hub that asks for more is believed, and the error says so
PASSING = frozenset({408, 429, 500, 502, 503, 504})


def patiently(call: Callable[[], T]) -> T:
    """The result of `call`, tried again after failures that pass by themselves.

    Those are answers of 408, 429 (after as many seconds as `Retry-After` says) and 5xx, and lines
    that broke or fell silent. A hub that refuses the connection is not there: nothing to wait for.
    Raises what the last attempt raised.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return call()
        except Exception as error:
            wait = _wait(error, attempt)
            if wait is None:
                raise
        time.sleep(wait)
    return call()


def _wait(error: Exception, attempt: int) -> float | None:
    """Seconds to wait before the next attempt, None if it would not help."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    usual = FIRST_WAIT * 2 ** (attempt - 1)
    if isinstance(error, HfHubHTTPError):
        if error.response.status_code not in PASSING:
            return None
        asked = error.response.headers.get("Retry-After", "")
        wait = float(asked) if asked.isdecimal() else usual
        return wait if wait <= LONGEST_WAIT else None
    # huggingface_hub tells of a body of the wrong length by an OSError without a number.
    if type(error) is OSError and error.errno is None:
        return usual
    if isinstance(error, httpx2.ConnectError):
        return None
    return usual if isinstance(error, httpx2.TransportError) else None
