"""Trying again: what a busy hub or a broken line refuses now is often granted a moment later.

huggingface_hub waits and tries again by itself while it opens a file; it does not when it asks for a
repository, and not when a body ends in a reset or an answer of 5xx.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential

T = TypeVar("T")

ATTEMPTS = 4
LONGEST_WAIT = 60.0  # seconds; a hub that asks for more is believed, and the error says so
PASSING = frozenset({408, 429, 500, 502, 503, 504})

_usual = wait_exponential(multiplier=1.0)  # seconds: 1, 2, 4


def with_retries(call: Callable[[], T]) -> T:
    """The result of `call`, tried again after failures that pass by themselves.

    Those are answers of 408, 429 (after as many seconds as `Retry-After` says) and 5xx, and lines
    that broke or fell silent. A hub that refuses the connection is not there: nothing to wait for.
    Raises what the last attempt raised.
    """
    retrying = Retrying(
        retry=retry_if_exception(_passes),
        wait=_wait,
        stop=stop_after_attempt(ATTEMPTS),
        reraise=True,
    )
    return retrying(call)


def _passes(error: BaseException) -> bool:
    """Whether another attempt may help."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        passing = error.response.status_code in PASSING
        return passing and (_asked(error) or 0.0) <= LONGEST_WAIT
    # huggingface_hub tells of a body of the wrong length by an OSError without a number.
    if type(error) is OSError and error.errno is None:
        return True
    return isinstance(error, httpx2.TransportError) and not isinstance(error, httpx2.ConnectError)


def _wait(state: RetryCallState) -> float:
    """Seconds to wait before the next attempt: as many as the hub asks for, or a few."""
    error = state.outcome.exception() if state.outcome else None
    asked = _asked(error)
    return _usual(state) if asked is None else asked


def _asked(error: BaseException | None) -> float | None:
    """The seconds of an answer's `Retry-After`."""
    response = getattr(error, "response", None)
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    return float(asked) if asked.isdecimal() else None
