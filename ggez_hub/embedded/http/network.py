"""How others reach the hub: its names, its public address, the proxies before it, and web pages that may call it."""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from ggez_hub.embedded.errors import InvalidRequestError

_AUTHORITY: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:]+)(?::[0-9]*)?")
_NOT_OURS: Final = (
    "This hub is not known by the name of this address: serve it with --allowed-host NAME"
)


@dataclass(frozen=True, slots=True)
class Network:
    """What is between the hub and its clients.

    `public_url` is the address that all clients use, without a path. Where it is None, the address of
    each request is used, with the scheme that one of `proxies` (addresses or networks) reports. `origins`
    are the web pages that may call the hub from a browser; "*" is all of them. `hosts` are further names
    by which the hub is reached. With a `certificate` (PEM, and its `key` where that is another file)
    the hub speaks HTTPS itself.
    Raises InvalidRequestError if `public_url` is not such an address.
    """

    public_url: str | None = None
    proxies: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if self.public_url is None:
            return
        parts = urlsplit(self.public_url)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path.strip("/"):
            raise InvalidRequestError(
                f"{self.public_url!r} is not a public address: give it as https://hub.example.org"
            )

    def tls(self) -> ssl.SSLContext | None:
        """What the server needs for HTTPS; raises InvalidRequestError for files that cannot be used."""
        if self.certificate is None:
            if self.key is not None:
                raise InvalidRequestError("a key without its certificate: give --certificate, too")
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # Without a password, OpenSSL would ask the terminal for that of an encrypted key.
            context.load_cert_chain(self.certificate, self.key, password="")
        except (OSError, ValueError) as error:
            raise InvalidRequestError(
                f"{self.certificate} and its key cannot be used for HTTPS ({error}): "
                "give a certificate and an unencrypted key that belong together, in PEM"
            ) from error
        return context

    @property
    def is_behind_proxy(self) -> bool:
        """Whether requests come from a proxy, and not from who makes them."""
        return self.public_url is not None or bool(self.proxies)

    @property
    def middleware(self) -> list[Middleware]:
        """What the application needs for this."""
        names = {"localhost", socket.gethostname(), *self.hosts}
        if self.public_url is not None:
            names.add(urlsplit(self.public_url).hostname or "")
        found = [Middleware(RequireHost, names=frozenset(map(str.lower, names)))]
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


class RequireHost:
    """Middleware: only a hub that is called by an address or by one of its names answers.

    A web page whose name was made to lead to this machine (DNS rebinding) calls it by that name.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
            # Only programs leave it out (HTTP/1.0): no browser does.
            if given and not self._is_ours(given):
                await JSONResponse({"error": _NOT_OURS}, 421, {"X-Error-Message": _NOT_OURS})(
                    scope, receive, send
                )
                return
        await self._app(scope, receive, send)

    def _is_ours(self, given: str) -> bool:
        match = _AUTHORITY.fullmatch(given)
        name = match[1].strip("[]").lower() if match else ""
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


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
