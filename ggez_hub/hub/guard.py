"""What every request of the client keeps to: an end, and answers that are safe to act on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ggez_hub.errors import GgezError

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub.utils import tqdm


# The client makes file names of these headers of an answer to HEAD.
NAMES = ("etag", "x-linked-etag", "x-repo-commit")
RANGE = re.compile(r"bytes=(\d+)-(\d+)")
NAME = re.compile(r"(W/)?[^/\\\x00-\x1f]{1,140}")
# What a hub says of things is held in memory; 50,000 files take less.
MAX_ANSWER_BYTES = 64_000_000
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
            "request": [*hooks.get("request", ()), end_in_time, ask_plainly],
            "response": [
                *hooks.get("response", ()),
                refuse_paths,
                refuse_packed,
                refuse_more,
                bound,
            ],
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


def _held(request: httpx2.Request) -> bool:
    """Whether the answer to a question is held in memory: what the hub says, or a part of a file."""
    path = request.url.path
    return "range" in request.headers or ("/api/" in path and "/resolve/" not in path)


def ask_plainly(request: httpx2.Request) -> None:
    """Ask for an answer that is as long as it is sent: a packed one may be a thousand times longer."""
    if _held(request):
        request.headers["accept-encoding"] = "identity"


def refuse_packed(response: httpx2.Response) -> None:
    """Raise BadAnswer for an answer that is packed although it should not be."""
    packed = response.headers.get("content-encoding", "identity")
    if _held(response.request) and packed != "identity":
        raise BadAnswer(
            f"the hub answers {response.request.url.path} packed with {packed[:20]!r}, unasked"
        )


def bound(response: httpx2.Response) -> None:
    """Let an answer about something, or an error, end in BadAnswer when it is longer than any can be."""
    if response.is_error or (_held(response.request) and "range" not in response.request.headers):
        response.stream = _bounded(response.stream, response.request.url.path)


def _bounded(stream: Any, path: str) -> Any:
    import httpx2

    class Bounded(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            received = 0
            for piece in stream:
                received += len(piece)
                if received > MAX_ANSWER_BYTES:
                    raise BadAnswer(
                        f"the hub answers {path} with more than {MAX_ANSWER_BYTES:,} bytes"
                    )
                yield piece

        def close(self) -> None:
            stream.close()

    return Bounded()


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


# Xet counts what it transfers, which may be a little more than the file.
SLACK = 1 << 20


class TooLong(GgezError):
    """A file is longer than it may be; nothing of it was kept."""


def at_most(nbytes: int) -> type[tqdm]:
    """The client's progress bar, which is told of every piece before it is written.

    It raises TooLong as soon as there are more than `nbytes` bytes.
    """
    from huggingface_hub.utils import tqdm

    class Bounded(tqdm):
        received = 0

        def update(self, n: float | None = 1) -> bool | None:
            self.received += int(n or 0)
            if self.received > nbytes + SLACK:
                raise TooLong(
                    f"the hub sends more than the {nbytes:,} bytes that were recorded of a file",
                    "Nothing of it was kept. Run it again; if it stays, do not use this hub.",
                )
            return super().update(n)

    return Bounded
