"""What every request of the client keeps to: an end, and answers that are safe to act on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ggez_hub.errors import GgezError

if TYPE_CHECKING:
    import httpx2

# The client makes file names of these headers of an answer to HEAD.
NAMES = ("etag", "x-linked-etag", "x-repo-commit")
RANGE = re.compile(r"bytes=(\d+)-(\d+)")
NAME = re.compile(r"(W/)?[^/\\\x00-\x1f]{1,140}")
ENDS = {"connect": 10.0, "read": 30.0, "write": 30.0, "pool": 30.0}  # seconds


class BadAnswer(GgezError):
    """What the hub answers cannot be true, or is not safe to act on."""


def guard_client() -> None:
    """Guard the requests of huggingface_hub in this process; doing it twice does nothing.

    A client factory that somebody set is kept: its clients are guarded.
    """
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    make = _http._GLOBAL_CLIENT_FACTORY
    if getattr(make, "guards", False):
        return

    def guarded() -> httpx2.Client:
        client = make()
        hooks = client.event_hooks
        client.event_hooks = {
            "request": [*hooks.get("request", ()), end_in_time],
            "response": [*hooks.get("response", ()), refuse_paths, refuse_more],
        }
        return client

    guarded.guards = True  # type: ignore[attr-defined]
    set_client_factory(guarded)


def end_in_time(request: httpx2.Request) -> None:
    """Give a question that would wait forever for its answer a time to end."""
    if request.method in {"GET", "HEAD"}:
        given = request.extensions.get("timeout") or {}
        if all(value is None for value in given.values()):
            request.extensions["timeout"] = dict(ENDS)


def refuse_more(response: httpx2.Response) -> None:
    """Raise BadAnswer for more bytes than a range asks for, which a client would hold in memory."""
    asked = RANGE.fullmatch(response.request.headers.get("range", ""))
    if asked is None or response.is_error:
        return
    limit = int(asked[2]) - int(asked[1]) + 1
    length = response.headers.get("content-length", "")
    if response.is_success and not (length.isdigit() and int(length) <= limit):
        raise BadAnswer(
            f"the hub answers {response.request.url.path} with {length or 'an unknown number of'} "
            f"bytes, of which {limit:,} were asked for"
        )


def refuse_paths(response: httpx2.Response) -> None:
    """Raise BadAnswer for a header that would become a path out of the cache."""
    if response.request.method != "HEAD":
        return
    for name in NAMES:
        value = response.headers.get(name)
        if value is not None and (not NAME.fullmatch(value) or ".." in value):
            raise BadAnswer(
                f"the hub answers {response.request.url.path} with the {name} {value[:80]!r}, "
                "which leads out of the cache",
                "Nothing of it was kept: do not use this hub.",
            )
