"""The one HTTP retry policy: what a busy server or a broken line refuses is asked for again.

huggingface_hub retries by itself while it opens a file, but not when it asks for a repository, and not
when a body ends in a reset or an answer of 5xx.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

T = TypeVar("T")

ATTEMPTS = 4
LONGEST_WAIT = 60.0  # seconds; a server that asks for more is not waited for
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


def with_retries(
    call: Callable[[], T], *, first_wait: float = 1.0, retry_refused: bool = False
) -> T:
    """The result of `call`, which is tried up to ATTEMPTS times.

    Retried are errors with a `response` of a TRANSIENT status, httpx2's transport errors, and
    huggingface_hub's error for a body of the wrong length; a refused connection only with
    `retry_refused`. Waits as many seconds as `Retry-After` asks for, or `first_wait`, doubled each
    time. Raises what the last attempt raised.
    """

    def wait(state: RetryCallState) -> float:
        asked = _retry_after(state.outcome.exception() if state.outcome else None)
        return first_wait * 2 ** (state.attempt_number - 1) if asked is None else asked

    retrying = Retrying(
        retry=retry_if_exception(lambda error: _is_transient(error, retry_refused)),
        wait=wait,
        stop=stop_after_attempt(ATTEMPTS),
        reraise=True,
    )
    return retrying(call)


def _is_transient(error: BaseException, retry_refused: bool) -> bool:
    import httpx2

    if (response := getattr(error, "response", None)) is not None:
        return response.status_code in TRANSIENT and (_retry_after(error) or 0.0) <= LONGEST_WAIT
    if isinstance(error, httpx2.ConnectError):
        return retry_refused
    # huggingface_hub raises an OSError without a number for a body of the wrong length.
    wrong_length = type(error) is OSError and error.errno is None
    return wrong_length or isinstance(error, httpx2.TransportError)


def _retry_after(error: BaseException | None) -> float | None:
    response = getattr(error, "response", None)
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    return float(asked) if asked.isdecimal() else None
