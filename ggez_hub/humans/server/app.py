"""The application: routes and refusals, behind the checks of security."""

from __future__ import annotations

import logging
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from ggez_hub.errors import GgezError
from ggez_hub.humans.server.pages import page
from ggez_hub.humans.server.routes import routes, site_of
from ggez_hub.humans.server.security import CheckHost, SecureHeaders
from ggez_hub.humans.server.site import Refusal, Site

_log = logging.getLogger("ggez_hub.humans")


def refused(request: Request, error: Refusal) -> Response:
    """The page of a request that is refused."""
    site = site_of(request)
    speech = site.speech(request)
    reason = getattr(speech.words, error.word)
    answer = page("refused", speech, status=error.status, study=site.study, reason=reason)
    if error.status == 429:
        answer.headers["Retry-After"] = "60"
    return answer


def http_error(request: Request, error: HTTPException) -> Response:
    """The page of an address or method that does not exist."""
    return refused(request, Refusal(error.status_code, "not_found"))


def study_error(request: Request, error: GgezError) -> Response:
    """The page where the study itself is damaged; the cause is for the log alone."""
    _log.error("%s", error.message)
    return refused(request, Refusal(500, "failed"))


def server_error(request: Request, error: Exception) -> Response:
    """The page where the server failed."""
    return refused(request, Refusal(500, "failed"))


HANDLERS: Final[dict[Any, Any]] = {
    Refusal: refused,
    HTTPException: http_error,
    GgezError: study_error,
    Exception: server_error,
}


def create_app(site: Site) -> ASGIApp:
    """The raters' pages of a study as an ASGI application.

    No request is logged: addresses hold invitations, and who rates when is nobody's business.
    """
    app = Starlette(routes=routes, exception_handlers=HANDLERS)
    app.state.site = site
    # Around everything, also the pages of errors.
    return SecureHeaders(CheckHost(app, site.hosts))
