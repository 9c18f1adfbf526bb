"""The application: routes, errors, and a line in the log for each request."""

from __future__ import annotations

import logging
import time
import uuid
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ggez_hub.embedded.errors import HubError
from ggez_hub.embedded.http import (
    access,
    account_routes,
    commit_routes,
    discussion_routes,
    errors,
    git_routes,
    grant_routes,
    info_routes,
    lfs_routes,
    preupload_routes,
    ref_routes,
    repo_routes,
    resolve_routes,
    tree_routes,
)
from ggez_hub.embedded.http.limits import Limits
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
    raise access.missing(access.caller(request))


def create_app(store: HubStore, limits: Limits | None = None) -> Starlette:
    """The hub as an ASGI application over a store, which the caller closes."""
    app = Starlette(
        routes=[
            Route("/", index, methods=["GET"]),
            *account_routes.routes,
            *repo_routes.routes,
            *tree_routes.routes,
            *ref_routes.routes,
            *preupload_routes.routes,
            *commit_routes.routes,
            *discussion_routes.routes,
            *info_routes.routes,
            *lfs_routes.routes,
            *git_routes.routes,
            *grant_routes.routes,
            *resolve_routes.routes,
            Route("/api/{kind:hub_kind}/{rest:hub_rest}", unnamespaced, methods=["GET"]),
            Route("/{name:hub_segment}/resolve/{rest:hub_rest}", unnamespaced),
        ],
        middleware=[Middleware(LogRequests), Middleware(MatchRawPath)],
        exception_handlers={
            HubError: errors.hub_error,
            HTTPException: errors.http_error,
            Exception: errors.server_error,
        },
    )
    app.state.store = store
    app.state.limits = limits or Limits()
    return app
