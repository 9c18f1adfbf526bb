"""Errors as the Hub sends them: a JSON body, and headers that name the error for the client."""

from __future__ import annotations

import logging
import re
from typing import Any, Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ggez_hub.embedded.errors import HubError

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
    return JSONResponse({"error": "Internal Error: see the log of the hub"}, 500)


def _header(message: str) -> str:
    return re.sub(r"[^\x20-\x7e]+", " ", message).strip()[:1000]


HANDLERS: Final[dict[Any, Any]] = {
    HubError: hub_error,
    HTTPException: http_error,
    Exception: server_error,
}
