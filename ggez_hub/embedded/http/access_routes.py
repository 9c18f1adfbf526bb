"""Who the caller is, what they may do, and access to gated repos: asking for it and granting it."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.access_control import (
    GRANT_STATUSES,
    AccessRequest,
    GrantStatus,
    require_write_scope,
)
from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.errors import HubError, InvalidRequestError
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.body import Body, takes
from ggez_hub.embedded.http.parameters import API, WEB, page, timestamp

PAGE: Final = 1000


def whoami(request: Request) -> Response:
    """GET /api/whoami-v2."""
    principal = access.known_caller(request)
    unknown = {"canPay": False, "periodEnd": None, "avatarUrl": ""}
    orgs = [
        {
            "type": "org",
            "id": org.name,
            "name": org.name,
            "fullname": org.fullname,
            "email": None,
            "isEnterprise": False,
            "roleInOrg": org.role,
            **unknown,
        }
        for org in principal.orgs
    ]
    return JSONResponse(
        {
            "type": "user",
            "id": principal.name,
            "name": principal.name,
            "fullname": principal.fullname,
            "email": f"{principal.name}@localhost",
            "emailVerified": True,
            "isPro": False,
            **unknown,
            "orgs": orgs,
            "auth": {
                "type": "access_token",
                "accessToken": {"displayName": principal.scope, "role": principal.scope},
            },
        }
    )


def likes(request: Request) -> Response:
    """GET /api/users/{user}/likes: nobody can like anything here."""
    if not access.store(request).accounts.exists(request.path_params["user"]):
        raise HubError("There is no such user", 404)
    return JSONResponse([])


def auth_check(request: Request) -> Response:
    """GET /api/models/{id}/auth-check: whether the caller may read the files."""
    access.content(request)
    return JSONResponse({"success": True})


def auth_check_write(request: Request) -> Response:
    """GET /api/models/{id}/auth-check/write: whether the caller may write."""
    access.writable(request)
    return JSONResponse({"success": True})


def ask(request: Request) -> Response:
    """POST /{id}/ask-access."""
    repo = access.readable(request)
    principal = access.known_caller(request)
    require_write_scope(principal)
    _require_gated(repo)
    access.store(request).grants.ask(repo, principal)
    return JSONResponse({"success": True})


def listing(request: Request) -> Response:
    """GET /api/models/{id}/user-access-request/{pending|accepted|rejected}."""
    granted = access.writable(request)
    wanted = request.path_params["status"]
    if wanted not in GRANT_STATUSES:
        raise InvalidRequestError(f"the status is one of {', '.join(GRANT_STATUSES)}")
    chosen, headers = page(request, granted.store.grants.find(granted.repo, wanted), PAGE)
    return JSONResponse([_document(item) for item in chosen], headers=headers)


class _Decision(Body):
    # A user's name is also the id under which their request is listed.
    user: str = ""
    requestId: str = ""  # noqa: N815 - as the Hub spells it
    status: GrantStatus = "accepted"

    @property
    def name(self) -> str:
        return self.user or self.requestId


@takes(_Decision, access.writable)
def handle(request: Request, granted: access.Granted, data: _Decision) -> Response:
    """POST /api/models/{id}/user-access-request/handle {user, status}."""
    granted.store.grants.decide(granted.repo, data.name, data.status)
    return JSONResponse({"success": True})


@takes(_Decision, access.writable)
def grant(request: Request, granted: access.Granted, data: _Decision) -> Response:
    """POST /api/models/{id}/user-access-request/grant {user}."""
    _require_gated(granted.repo)
    granted.store.grants.grant(granted.repo, data.name)
    return JSONResponse({"success": True})


def _require_gated(repo: RepoRecord) -> None:
    if repo.gated is None:
        raise InvalidRequestError("This repo is not gated: everybody has access")


def _document(item: AccessRequest) -> dict[str, Any]:
    return {
        "requestId": item.user,
        "user": {"user": item.user, "fullname": item.fullname, "email": None},
        "status": item.status,
        "timestamp": timestamp(item.asked),
    }


routes = [
    Route("/api/whoami-v2", whoami, methods=["GET"]),
    Route("/api/users/{user:hub_segment}/likes", likes, methods=["GET"]),
    Route(f"{API}/auth-check", auth_check, methods=["GET"]),
    Route(f"{API}/auth-check/write", auth_check_write, methods=["GET"]),
    Route(f"{WEB}/ask-access", ask, methods=["POST"]),
    Route(f"{API}/user-access-request/handle", handle, methods=["POST"]),
    Route(f"{API}/user-access-request/grant", grant, methods=["POST"]),
    Route(f"{API}/user-access-request/{{status:hub_segment}}", listing, methods=["GET"]),
]
