"""Errors as the Hub sends them: a JSON body, and headers that name the error for the client."""

from __future__ import annotations

import logging
import re
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ggez_hub.embedded.errors import GatedRepoError, HubError, RepoNotFoundError


class HiddenRepoError(RepoNotFoundError):
    """The repo is missing or private, and the caller has not said who they are."""

    status = 401


class UnknownGatedRepoError(GatedRepoError):
    """The repo is gated, and the caller has not said who they are."""

    status = 401


class RepoMovedError(HubError):
    """The repo has another name; `location` is where the request belongs."""

    status = 307

    def __init__(self, message: str, location: str) -> None:
        super().__init__(message)
        self.location = location


_log = logging.getLogger("ggez_hub.embedded")


def hub_error(request: Request, error: Exception) -> Response:
    """The response to a request that was refused."""
    if not isinstance(error, HubError):
        raise error
    headers = {"X-Error-Message": _header(error.message)}
    if error.code is not None:
        headers["X-Error-Code"] = error.code
    commit = getattr(request.state, "commit", None)
    if commit is not None:
        # The client remembers for which commit an entry was missing.
        headers["X-Repo-Commit"] = commit
    if isinstance(error, RepoMovedError):
        # Relative: the client follows no redirect of a HEAD to another origin.
        headers["Location"] = error.location
    if error.status == 401:
        # git asks for the token only if it is told how to send it.
        headers["WWW-Authenticate"] = 'Basic realm="ggez-hub"'
    return JSONResponse({"error": error.message}, error.status, headers)


def http_error(request: Request, error: Exception) -> Response:
    """The response to an address or method that does not exist."""
    if not isinstance(error, HTTPException):
        raise error
    headers = {**(error.headers or {}), "X-Error-Message": _header(error.detail)}
    return JSONResponse({"error": error.detail}, error.status_code, headers)


def server_error(request: Request, error: Exception) -> Response:
    """The response when the hub itself failed; the cause is for the log alone."""
    _log.error("%s %s failed", request.method, quote(request.scope["path"]), exc_info=error)
    return JSONResponse({"error": "Internal Error: see the log of the hub"}, 500)


def _header(message: str) -> str:
    return re.sub(r"[^\x20-\x7e]+", " ", message).strip()[:1000]
