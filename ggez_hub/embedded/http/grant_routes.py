"""Access to gated repos: asking for it, and what the owners answer."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.access_control import GRANT_STATUSES, AccessRequest
from ggez_hub.embedded.errors import InvalidRequestError
from ggez_hub.embedded.http import access, body
from ggez_hub.embedded.http.handlers import takes_json
from ggez_hub.embedded.http.info_routes import timestamp
from ggez_hub.embedded.http.pagination import page
from ggez_hub.embedded.http.path_parameters import API, WEB

PAGE: Final = 1000


def ask(request: Request) -> Response:
    """POST /{id}/ask-access."""
    repo = access.readable(request)
    principal = access.known_caller(request)
    access.require_write_scope(principal)
    if repo.gated is None:
        raise InvalidRequestError("This repo is not gated: everybody has access")
    access.store(request).grants.ask(repo, principal)
    return JSONResponse({"success": True})


def listing(request: Request) -> Response:
    """GET /api/models/{id}/user-access-request/{pending|accepted|rejected}."""
    repo, _ = access.writable(request)
    wanted = request.path_params["status"]
    for status in GRANT_STATUSES:
        if wanted == status:
            found = access.store(request).grants.find(repo, status)
            chosen, headers = page(request, found, PAGE)
            return JSONResponse([_document(item) for item in chosen], headers=headers)
    raise InvalidRequestError(f"the status is one of {', '.join(GRANT_STATUSES)}")


@takes_json
def handle(request: Request, data: dict[str, Any]) -> Response:
    """POST /api/models/{id}/user-access-request/handle {user, status}."""
    repo, _ = access.writable(request)
    status = data.get("status")
    if status not in GRANT_STATUSES:
        raise InvalidRequestError(f"'status' is one of {', '.join(GRANT_STATUSES)}")
    access.store(request).grants.decide(repo, _user(data), status)
    return JSONResponse({"success": True})


@takes_json
def grant(request: Request, data: dict[str, Any]) -> Response:
    """POST /api/models/{id}/user-access-request/grant {user}."""
    repo, _ = access.writable(request)
    if repo.gated is None:
        raise InvalidRequestError("This repo is not gated: everybody has access")
    access.store(request).grants.grant(repo, _user(data))
    return JSONResponse({"success": True})


def _user(data: dict[str, Any]) -> str:
    # A user's name is also the id under which their request is listed.
    return body.text(data, "user", "") or body.text(data, "requestId")


def _document(item: AccessRequest) -> dict[str, Any]:
    return {
        "requestId": item.user,
        "user": {"user": item.user, "fullname": item.fullname, "email": None},
        "status": item.status,
        "timestamp": timestamp(item.asked),
    }


routes = [
    Route(f"{WEB}/ask-access", ask, methods=["POST"]),
    Route(f"{API}/user-access-request/handle", handle, methods=["POST"]),
    Route(f"{API}/user-access-request/grant", grant, methods=["POST"]),
    Route(f"{API}/user-access-request/{{status:hub_segment}}", listing, methods=["GET"]),
]
