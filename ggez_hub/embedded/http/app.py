"""The application: routes, errors, and a line in the log for each request."""

from __future__ import annotations

import logging
import time
import uuid
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ggez_hub.embedded.http import (
    access,
    access_routes,
    commit_routes,
    discussion_routes,
    errors,
    file_routes,
    git_routes,
    info_routes,
    lfs_routes,
    repo_routes,
)
from ggez_hub.embedded.http.body import Limits
from ggez_hub.embedded.http.path_parameters import MatchRawPath
from ggez_hub.embedded.store import HubStore

_log = logging.getLogger("ggez_hub.embedded")


class LogRequests:
    """Middleware: an id for each request, and a line in the log.

    The query is left out, because the signature of an upload address is in it, and so are all headers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity, started = uuid.uuid4().hex[:16], time.perf_counter()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = identity
                _log.info(
                    "%s %s %s %d %.0f ms",
                    identity,
                    scope["method"],
                    # Encoded: a path can hold what a terminal obeys, or a line of its own.
                    quote(scope["path"]),
                    message["status"],
                    1000 * (time.perf_counter() - started),
                )
            await send(message)

        await self._app(scope, receive, answer)


def index(request: Request) -> Response:
    """GET /: what this address is."""
    return JSONResponse({"name": "ggez-hub", "about": "a Hugging Face Hub from a local folder"})


def unnamespaced(request: Request) -> Response:
    """An id without a namespace: this hub has no such repos."""
    raise access.missing(request)


def create_app(store: HubStore, limits: Limits | None = None) -> Starlette:
    """The hub as an ASGI application over a store, which the caller closes."""
    app = Starlette(
        routes=[
            Route("/", index, methods=["GET"]),
            *access_routes.routes,
            *repo_routes.routes,
            *commit_routes.routes,
            *discussion_routes.routes,
            *info_routes.routes,
            *lfs_routes.routes,
            *git_routes.routes,
            # After the others: a download takes any path.
            *file_routes.routes,
            Route("/api/{kind:hub_kind}/{rest:hub_rest}", unnamespaced, methods=["GET"]),
            Route("/{name:hub_segment}/resolve/{rest:hub_rest}", unnamespaced),
        ],
        middleware=[Middleware(LogRequests), Middleware(MatchRawPath)],
        exception_handlers=errors.HANDLERS,
    )
    app.state.store = store
    app.state.limits = limits or Limits()
    return app
