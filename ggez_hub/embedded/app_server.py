"""A server for an application: uvicorn on a socket that is bound at once."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ggez_hub.embedded.errors import HubError
from ggez_hub.embedded.time_limits import TimedProtocol

LOCALHOST = "127.0.0.1"
# Bytes that are read of a connection at once. asyncio's own 256 KiB are much where a client opens dozens.
_READ = 128 << 10
# Seconds that a connection may be idle: longer than clients keep theirs (httpx: 5), which else would send
# the next request at the moment in which this side hangs up.
_KEEP_ALIVE = 20


class Protocol(TimedProtocol):
    """What connections speak: HTTP with time limits, read in small parts."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # The only place for it; transports of TLS and of Windows have none, and read as they do.
        transport.max_size = _READ  # type: ignore[attr-defined]


class _Dated:
    """An application whose answers have the date at which they begin.

    uvicorn's is up to a second older, and a client takes what was logged after it for what comes later.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = (b"date", formatdate(usegmt=True).encode())
                message = {**message, "headers": [*message.get("headers", ()), date]}
            await send(message)

        await self._app(scope, receive, answer)


class AppServer(uvicorn.Server):
    """A uvicorn server for an application; `port=0` takes a free port, `headers` is in bytes.

    With `tls` it speaks HTTPS. Raises HubError if the address or port is not available.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str = LOCALHOST,
        port: int = 0,
        headers: int = 32 << 10,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                _Dated(app),
                date_header=False,
                h11_max_incomplete_event_size=headers,
                loop="asyncio",
                http=Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=2,
                ssl_context_factory=None if tls is None else lambda *_: tls,
            )
        )
        self.socket = _listen(host, port)
        self._host = host

    @property
    def url(self) -> str:
        """The address of the server."""
        # Listening on every address is reached at the loopback one.
        host = {"0.0.0.0": LOCALHOST, "::": "::1"}.get(self._host, self._host)  # noqa: S104
        host = f"[{host}]" if ":" in host else host
        scheme = "https" if self.config.is_ssl else "http"
        return f"{scheme}://{host}:{self.socket.getsockname()[1]}"

    def run_until(self, finished: Callable[[], bool] | None = None, period: float = 0.25) -> None:
        """Serve until a signal comes or `finished`, called every `period` seconds, returns True."""
        # uvicorn passes the interrupt on when it has ended: that is how a server is meant to end.
        with suppress(KeyboardInterrupt):
            asyncio.run(self._run_until(finished, period))

    async def _run_until(self, finished: Callable[[], bool] | None, period: float) -> None:
        serving = asyncio.create_task(self.serve(sockets=[self.socket]))
        while finished is not None and not serving.done() and not self.should_exit:
            await asyncio.wait([serving], timeout=period)
            if await asyncio.to_thread(finished):
                self.should_exit = True
        await serving


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY where it sees the protocol; without it each answer waits 40 ms for an ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if sys.platform != "win32":
        # A restarted server gets its port back at once. On Windows the option means something else.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        reason = error.strerror or str(error)
        raise HubError(f"cannot listen on port {port} of {host}: {reason}") from error
    return listening
