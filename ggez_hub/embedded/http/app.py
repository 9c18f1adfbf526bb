"""The application: routes, errors, and a line in the log for each request."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import quote

from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ggez_hub.embedded.errors import HubError, is_full
from ggez_hub.embedded.http import (
    access,
    access_routes,
    bucket_routes,
    collection_routes,
    commit_routes,
    discussion_routes,
    file_routes,
    git_routes,
    info_routes,
    job_routes,
    lfs_files_routes,
    lfs_routes,
    repo_routes,
    webhook_routes,
    xet_download_routes,
    xet_upload_routes,
)
from ggez_hub.embedded.http import (
    metrics as metrics_routes,
)
from ggez_hub.embedded.http.body import Limits
from ggez_hub.embedded.http.metrics import MeasureRequests, Metrics
from ggez_hub.embedded.http.network import Network
from ggez_hub.embedded.http.pages import routes as pages
from ggez_hub.embedded.http.pages.page import wants_page
from ggez_hub.embedded.http.parameters import MatchRawPath
from ggez_hub.embedded.jobs import JobRunner
from ggez_hub.embedded.store import HubStore
from ggez_hub.embedded.time_limits import LimitTime

_log = logging.getLogger("ggez_hub.embedded")


def hub_error(request: Request, error: HubError) -> Response:
    """The response to a request that was refused."""
    headers = {"X-Error-Message": _header(error.message), **error.headers}
    if error.code is not None:
        headers["X-Error-Code"] = error.code
    commit = getattr(request.state, "commit", None)
    if commit is not None:
        # The client remembers for which commit an entry was missing.
        headers["X-Repo-Commit"] = commit
    if error.status == 401:
        # git asks for the token only if it is told how to send it.
        headers["WWW-Authenticate"] = 'Basic realm="ggez-hub"'
    return JSONResponse({"error": error.message}, error.status, headers)


def http_error(request: Request, error: HTTPException) -> Response:
    """The response to an address or method that does not exist."""
    headers = {**(error.headers or {}), "X-Error-Message": _header(error.detail)}
    return JSONResponse({"error": error.detail}, error.status_code, headers)


def server_error(request: Request, error: Exception) -> Response:
    """The response when the hub itself failed; the cause is for the log alone."""
    _log.error("%s %s failed", request.method, quote(request.scope["path"]), exc_info=error)
    if is_full(error):
        return hub_error(
            request, HubError("The disk of the hub is full: delete what is not needed", 507)
        )
    return JSONResponse({"error": "Internal Error: see the log of the hub"}, 500)


def _header(message: str) -> str:
    return re.sub(r"[^\x20-\x7e]+", " ", message).strip()[:1000]


_IDENTITY: Final = re.compile(r"[\w.-]{1,64}", re.ASCII)
_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
HANDLERS: Final[dict[Any, Any]] = {
    HubError: hub_error,
    HTTPException: http_error,
}


class LogRequests:
    """Middleware: an id for each request (the client's own where it sent one), a line in the log, and
    an answer where the hub itself failed.

    Passed on, an exception would end the connection, and with it the next request on it.

    The query is left out, because the signature of an upload address is in it, and so are all headers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id") or headers.get("x-amzn-trace-id") or ""
        identity = given if _IDENTITY.fullmatch(given) else uuid.uuid4().hex[:16]
        started = time.perf_counter()
        answered = False

        async def answer(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
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

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            if answered:
                raise
            await server_error(Request(scope), error)(scope, receive, answer)


def index(request: Request) -> Response:
    """GET /: what this address is, and for a browser the repos."""
    if wants_page(request):
        return pages.home(request)
    return JSONResponse({"name": "ggez-hub", "about": "a Hugging Face Hub from a local folder"})


def unnamespaced(request: Request) -> Response:
    """An id without a namespace: this hub has no such repos."""
    raise access.missing(request)


def not_offered(request: Request) -> Response:
    """Parts of the Hub's API that this hub does not have."""
    name = request.path_params["name"]
    raise HubError(f"This hub does not offer {name}", 501)


def not_offered_of_repo(request: Request) -> Response:
    """The same of the API of a repo; an id without a namespace is that of no repo."""
    namespace, _, rest = request.path_params["rest"].partition("/")
    name, _, what = rest.partition("/")
    access.find(request, request.path_params["kind"], f"{namespace}/{name}")
    raise HubError(f"This hub does not offer {request.method} {what[:100]} of a repo", 501)


def create_app(
    store: HubStore,
    limits: Limits | None = None,
    network: Network | None = None,
    webhook_hosts: Collection[str] = (),
    jobs: JobRunner | None = None,
) -> Starlette:
    """The hub as an ASGI application over a store and its jobs, if it has some; the caller closes both.

    Users may add webhooks to `webhook_hosts`.
    """
    metrics = Metrics(store)
    app = Starlette(
        routes=[
            Route("/", index, methods=["GET"]),
            *access_routes.routes,
            *repo_routes.routes,
            *commit_routes.routes,
            *bucket_routes.routes,
            *collection_routes.routes,
            *discussion_routes.routes,
            *info_routes.routes,
            *lfs_routes.routes,
            *lfs_files_routes.routes,
            *xet_upload_routes.routes,
            *xet_download_routes.routes,
            *git_routes.routes,
            *metrics_routes.routes,
            *job_routes.routes,
            *webhook_routes.routes,
            *(
                Route(f"/api/{{name:hub_not_offered}}{rest}", not_offered, methods=_METHODS)
                for rest in ("", "/{rest:hub_rest}")
            ),
            # After the others: a download takes any path.
            *file_routes.routes,
            Route("/api/{kind:hub_kind}/{rest:hub_rest}", not_offered_of_repo, methods=_METHODS),
            *pages.routes,
            Route("/{name:hub_segment}/resolve/{rest:hub_rest}", unnamespaced),
        ],
        middleware=[
            Middleware(MeasureRequests, metrics=metrics),
            Middleware(LogRequests),
            *(network or Network()).middleware,
            Middleware(LimitTime),
            Middleware(MatchRawPath),
        ],
        exception_handlers=HANDLERS,
    )
    app.state.store = store
    app.state.jobs = jobs
    app.state.metrics = metrics
    app.state.webhook_hosts = {host.lower() for host in webhook_hosts}
    app.state.behind_proxy = network is not None and network.is_behind_proxy
    app.state.limits = limits or Limits()
    # Histories and differences are read one at a time, so that they leave the threads of the others free.
    app.state.expanding = CapacityLimiter(1)
    # A client sends dozens of xorbs at once: few threads, each with memory of its own, unpack them in turn.
    app.state.unpacking = CapacityLimiter(4)
    return app
