"""A site over HTTP on this machine, until it is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ggez_hub.embedded import HubError
from ggez_hub.embedded.app_server import LOCALHOST, AppServer
from ggez_hub.errors import UsageProblem
from ggez_hub.site.publication import require_page

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    # Files of one build belong together: another build may be served at the same address.
    (b"cache-control", b"no-cache"),
]


class _WithHeaders:
    """An application whose responses have the headers above."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await self.app(scope, receive, sent)


def site_server(folder: Path, host: str = LOCALHOST, port: int = 0, prefix: str = "") -> AppServer:
    """A server for the files of a site, below the path `prefix`; `port=0` takes a free port.

    Raises UsageProblem for a folder without a page, and where the address or port is not available.
    """
    require_page(folder)
    files = Mount(prefix, StaticFiles(directory=folder, html=True))
    app = Starlette(routes=[files], middleware=[Middleware(_WithHeaders)])
    try:
        return AppServer(app, host, port)
    except HubError as error:
        raise UsageProblem(error.message, "Choose another one with --port.") from error


def serve(folder: Path, host: str, port: int, announce: Callable[[str], None] = print) -> None:
    """Serve a site until interrupted; `announce` is called with its address once it can be reached."""
    server = site_server(folder, host, port)
    with server.socket:
        announce(server.url)
        server.run_until()
