"""Checks of every request of huggingface_hub: it ends, its token stays, its answer is safe to act on."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from ggez_hub.errors import GgezError

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub.utils import tqdm

# The client makes file names of these headers of an answer to HEAD.
NAMES = ("etag", "x-linked-etag", "x-repo-commit")
RANGE = re.compile(r"bytes=(\d+)-(\d+)")
NAME = re.compile(r"(W/)?[^/\\\x00-\x1f]{1,140}")
# Metadata are held in memory; those of 50,000 files take less.
MAX_ANSWER_BYTES = 64_000_000
TIMEOUTS = {"connect": 10.0, "read": 30.0, "write": 30.0, "pool": 30.0}  # seconds
# A hub may work on a commit for minutes before it answers.
TIMEOUTS_OF_CHANGES = {**TIMEOUTS, "read": 600.0}
# Where the client gets its tokens for Xet; it may hand the address and the token to a library.
XET_ROUTE, XET_LINK = "x-xet-refresh-route", "xet-auth"
# Xet counts what it transfers, which may be a little more than the file.
SLACK_BYTES = 1 << 20


Origin: TypeAlias = tuple[str, str, int | None]
# The tokens that were given here, and the only hosts that each of them is for.
_ORIGINS: dict[str, set[Origin]] = {}
_GUARDING = threading.Lock()


def guard_client(endpoint: str | None = None, token: str | None = None) -> None:
    """Guard the requests of huggingface_hub in this process; doing it twice does nothing.

    `token` is sent to the host of `endpoint` alone, wherever a redirect, a header or a link leads. A
    client factory that somebody set is kept: its clients are guarded.
    """
    import httpx2
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    if endpoint and token:
        _ORIGINS.setdefault(token, set()).add(_origin(httpx2.URL(endpoint)))
    # To set a factory closes the client, with which another thread may be asking.
    with _GUARDING:
        make = _http._GLOBAL_CLIENT_FACTORY
        if not getattr(make, "guards", False):
            set_client_factory(_guarded(make))


def _guarded(make: Callable[[], httpx2.Client]) -> Callable[[], httpx2.Client]:
    import httpx2

    from ggez_hub.hub.minimum_speed import WatchedBackend

    def guarded() -> httpx2.Client:
        client = make()
        for transport in (client._transport, *client._mounts.values()):
            if isinstance(transport, httpx2.HTTPTransport):
                pool: Any = vars(transport)["_pool"]
                pool._network_backend = WatchedBackend(pool._network_backend)
        hooks = client.event_hooks
        client.event_hooks = {
            "request": [*hooks.get("request", ()), _prepare],
            "response": [*hooks.get("response", ()), _check],
        }
        return client

    guarded.guards = True  # type: ignore[attr-defined]
    return guarded


def counting_bar(nbytes: int, received: Callable[[int], None]) -> type[tqdm]:
    """A progress bar for the client that draws nothing: `received` is called with bytes.

    The client updates it with every piece before the piece is written. It raises GgezError as soon
    as there are more than `nbytes` bytes.
    """
    from huggingface_hub.utils import tqdm

    class CountingBar(tqdm):
        written = sent = 0

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> bool | None:
            self.written += int(n or 0)
            check(self.written)
            received(int(n or 0))
            return None

        # With these two the client counts what Xet transfers here, and not by a second bar.
        def update_transfer(self, n: float) -> None:
            self.sent += int(n)
            check(self.sent)

        def set_transfer_postfix_str(self, text: str, *, refresh: bool) -> None:
            """The speed, which is not shown."""

    def check(count: int) -> None:
        if count > nbytes + SLACK_BYTES:
            raise GgezError(
                f"the hub sends more than the {nbytes:,} bytes that were recorded of a file",
                "Nothing of it was kept. Run it again; if it stays, do not use this hub.",
            )

    return CountingBar


def _is_held(request: httpx2.Request) -> bool:
    """Whether the answer is held in memory: metadata, or a part of a file."""
    path = request.url.path
    return "range" in request.headers or ("/api/" in path and "/resolve/" not in path)


def _prepare(request: httpx2.Request) -> None:
    sent = request.headers.get("authorization", "").removeprefix("Bearer ")
    if sent in _ORIGINS and _origin(request.url) not in _ORIGINS[sent]:
        del request.headers["authorization"]
    given = request.extensions.get("timeout") or {}
    if all(value is None for value in given.values()):
        reads = request.method in {"GET", "HEAD"}
        request.extensions["timeout"] = dict(TIMEOUTS if reads else TIMEOUTS_OF_CHANGES)
    if _is_held(request):
        # A packed answer may be a thousand times longer than what is sent.
        request.headers["accept-encoding"] = "identity"


def _check(response: httpx2.Response) -> None:
    request, headers = response.request, response.headers
    where = f"the hub answers {request.url.path}"
    for name in NAMES if request.method == "HEAD" else ():
        value = headers.get(name)
        if value is not None and (not NAME.fullmatch(value) or ".." in value):
            raise GgezError(
                f"{where} with the {name} {value[:80]!r}, which leads out of the cache",
                "Nothing of it was kept: do not use this hub.",
            )
    _check_xet_route(response, where)
    packed = headers.get("content-encoding", "identity")
    if _is_held(request) and packed != "identity":
        raise GgezError(f"{where} packed with {packed[:20]!r}, unasked")
    asked = RANGE.fullmatch(request.headers.get("range", ""))
    if asked is not None and response.is_success:
        limit = int(asked[2]) - int(asked[1]) + 1
        length = headers.get("content-length", "")
        if not (length.isdigit() and int(length) <= limit):
            raise GgezError(
                f"{where} with {length or 'an unknown number of'} bytes, of which {limit:,} were "
                "asked for"
            )
    if response.is_error or (_is_held(request) and "range" not in request.headers):
        response.stream = _bounded(response.stream, where)


def _origin(url: httpx2.URL) -> Origin:
    return url.scheme, url.host, url.port


def _check_xet_route(response: httpx2.Response, where: str) -> None:
    """Raise GgezError for an address of tokens for Xet that is not this host's."""
    import httpx2
    from huggingface_hub import constants

    given = (response.headers.get(XET_ROUTE), response.links.get(XET_LINK, {}).get("url"))
    for route in filter(None, given):
        # The client writes its own endpoint for the Hub's address, as mirrors need it.
        if route.startswith(constants.HUGGINGFACE_CO_URL_HOME):
            continue
        try:
            known = _origin(httpx2.URL(route)) == _origin(response.request.url)
        except httpx2.InvalidURL:
            known = False
        if not known:
            raise GgezError(
                f"{where} with an address for tokens on another host: {route[:80]!r}",
                "Nothing was sent there: do not use this hub.",
            )


def _bounded(stream: Any, where: str) -> Any:
    import httpx2

    class BoundedStream(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            received = 0
            for piece in stream:
                received += len(piece)
                if received > MAX_ANSWER_BYTES:
                    raise GgezError(f"{where} with more than {MAX_ANSWER_BYTES:,} bytes")
                yield piece

        def close(self) -> None:
            stream.close()

    return BoundedStream()
