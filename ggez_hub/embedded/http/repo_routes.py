"""Making, removing, renaming repos; who may see them."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.accounts import Principal
from ggez_hub.embedded.changes import Change, PutBlob
from ggez_hub.embedded.commits import Signature
from ggez_hub.embedded.errors import AlreadyExistsError, InvalidRequestError
from ggez_hub.embedded.http import access, body
from ggez_hub.embedded.http.handlers import takes_json
from ggez_hub.embedded.http.pagination import base_url
from ggez_hub.embedded.http.path_parameters import API
from ggez_hub.embedded.names import URL_PREFIXES, check_name, check_namespace, repo_type


@takes_json
def create(request: Request, data: dict[str, Any]) -> Response:
    """POST /api/repos/create."""
    principal = access.known_caller(request)
    kind = repo_type(body.text(data, "type", "model"))
    name = check_name(body.text(data, "name"), "repo name")
    namespace = check_namespace(body.text(data, "organization", principal.name))
    access.require_write(principal, namespace)
    repo_id = f"{namespace}/{name}"
    url = f"{base_url(request)}/{URL_PREFIXES[kind]}{repo_id}"
    store = access.store(request)
    try:
        private = _private(data)
        if private is None:
            private = store.accounts.default_private(namespace)
        store.create_repo(kind, repo_id, private=private)
    except AlreadyExistsError as error:
        # The client reads the address from this answer when it was told `exist_ok`.
        return JSONResponse({"error": error.message, "url": url, "name": repo_id}, error.status)
    repo = store.repo(kind, repo_id)
    with store.git(repo) as git:
        changes: list[Change] = []
        if kind == "space":
            card = f"---\ntitle: {name}\nsdk: {body.text(data, 'sdk', 'static')}\n---\n"
            changes.append(PutBlob("README.md", git.objects.write_blob(card.encode())))
        git.commit("main", changes, message="initial commit", signature=signature(principal))
    return JSONResponse({"url": url, "name": repo_id, "id": str(repo.key)})


@takes_json
def delete(request: Request, data: dict[str, Any]) -> Response:
    """DELETE /api/repos/delete."""
    principal = access.known_caller(request)
    namespace = body.text(data, "organization", principal.name)
    repo = access.find(
        request, body.text(data, "type", "model"), f"{namespace}/{body.text(data, 'name')}"
    )
    access.require_write(principal, repo.namespace)
    access.store(request).delete_repo(repo)
    return JSONResponse({"success": True})


@takes_json
def move(request: Request, data: dict[str, Any]) -> Response:
    """POST /api/repos/move."""
    principal = access.known_caller(request)
    repo = access.find(request, body.text(data, "type", "model"), body.text(data, "fromRepo"))
    target = body.text(data, "toRepo")
    access.require_write(principal, repo.namespace)
    access.require_write(principal, target.partition("/")[0])
    moved = access.store(request).move_repo(repo, target)
    return JSONResponse({"url": f"{base_url(request)}/{moved.url_path}"})


@takes_json
def settings(request: Request, data: dict[str, Any]) -> Response:
    """PUT /api/models/{id}/settings: visibility, and whether readers must ask for access."""
    repo, _ = access.writable(request)
    catalog = access.store(request).catalog
    gated = data.get("gated", repo.gated or False)
    if gated not in ("auto", "manual", False):
        raise InvalidRequestError("'gated' is 'auto', 'manual' or false")
    private = _private(data)
    if private is not None:
        catalog.set_private(repo, private)
    if "gated" in data:
        catalog.set_gated(repo, gated or None)
    return JSONResponse({"private": repo.private if private is None else private, "gated": gated})


def auth_check(request: Request) -> Response:
    """GET /api/models/{id}/auth-check: whether the caller may read the files."""
    access.content(request)
    return JSONResponse({"success": True})


def auth_check_write(request: Request) -> Response:
    """GET /api/models/{id}/auth-check/write: whether the caller may write."""
    access.writable(request)
    return JSONResponse({"success": True})


def signature(principal: Principal) -> Signature:
    """A commit signature of the caller, now."""
    return Signature(principal.name, f"{principal.name}@localhost", int(time.time()))


def _private(data: dict[str, Any]) -> bool | None:
    visibility = data.get("visibility")
    if visibility in ("public", "private"):
        return bool(visibility == "private")
    private = data.get("private")
    if visibility is not None or not isinstance(private, bool | None):
        raise InvalidRequestError("'visibility' must be 'public' or 'private'")
    return private


routes = [
    Route("/api/repos/create", create, methods=["POST"]),
    Route("/api/repos/delete", delete, methods=["DELETE"]),
    Route("/api/repos/move", move, methods=["POST"]),
    Route(f"{API}/settings", settings, methods=["PUT"]),
    Route(f"{API}/auth-check", auth_check, methods=["GET"]),
    Route(f"{API}/auth-check/write", auth_check_write, methods=["GET"]),
]
