"""How others reach the hub: its public address, the proxies before it, and the web pages that may call it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from ggez_hub.embedded.errors import InvalidRequestError


@dataclass(frozen=True, slots=True)
class Network:
    """What is between the hub and its clients.

    `public_url` is the address that all clients use, without a path. Where it is None, the address of
    each request is used, with the scheme that one of `proxies` (addresses or networks) reports. `origins`
    are the web pages that may call the hub from a browser; "*" is all of them.
    Raises InvalidRequestError if `public_url` is not such an address.
    """

    public_url: str | None = None
    proxies: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.public_url is None:
            return
        parts = urlsplit(self.public_url)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path.strip("/"):
            raise InvalidRequestError(
                f"{self.public_url!r} is not a public address: give it as https://hub.example.org"
            )

    @property
    def is_behind_proxy(self) -> bool:
        """Whether requests come from a proxy, and not from who makes them."""
        return self.public_url is not None or bool(self.proxies)

    @property
    def middleware(self) -> list[Middleware]:
        """What the application needs for this."""
        found = []
        if self.proxies:
            found.append(Middleware(ProxyHeadersMiddleware, trusted_hosts=list(self.proxies)))
        if self.origins:
            # No cookies are used here: a page can do what the token that it has can do.
            found.append(
                Middleware(
                    CORSMiddleware,
                    allow_origins=list(self.origins),
                    allow_methods=["*"],
                    allow_headers=["*"],
                    expose_headers=["*"],
                )
            )
        if self.public_url is not None:
            found.append(Middleware(PublicAddress, public_url=self.public_url))
        return found


class PublicAddress:
    """Middleware: every request came to the public address, whatever the proxy made of it."""

    def __init__(self, app: ASGIApp, public_url: str) -> None:
        parts = urlsplit(public_url)
        self._app = app
        self._scheme = parts.scheme
        self._host = (b"host", parts.netloc.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = [header for header in scope["headers"] if header[0] != b"host"]
            scope = {**scope, "scheme": self._scheme, "headers": [*headers, self._host]}
        await self._app(scope, receive, send)
