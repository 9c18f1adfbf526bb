"""Branches and tags."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.http import access, body
from ggez_hub.embedded.http.handlers import takes_json
from ggez_hub.embedded.http.path_parameters import API, REVISION
from ggez_hub.embedded.http.repo_routes import signature
from ggez_hub.embedded.refs import NamedRef


def refs(request: Request) -> Response:
    """GET /api/models/{id}/refs."""
    repo = access.readable(request)
    with access.store(request).git(repo) as git:
        document = {
            "branches": [_ref(ref) for ref in git.refs.named("refs/heads/")],
            "converts": [_ref(ref) for ref in git.refs.named("refs/convert/")],
            "tags": [_ref(ref) for ref in git.refs.named("refs/tags/")],
        }
        if request.query_params.get("include_prs"):
            document["pullRequests"] = [_ref(ref) for ref in git.refs.named("refs/pr/")]
    return JSONResponse(document)


@takes_json
def create_branch(request: Request, data: dict[str, Any]) -> Response:
    """POST /api/models/{id}/branch/{branch}."""
    repo, _ = access.writable(request)
    start = body.text(data, "startingPoint", "")
    with access.store(request).git(repo) as git:
        git.create_branch(request.path_params["revision"], start or None)
    return JSONResponse({"success": True})


def delete_branch(request: Request) -> Response:
    """DELETE /api/models/{id}/branch/{branch}."""
    repo, _ = access.writable(request)
    with access.store(request).git(repo) as git:
        git.delete_branch(request.path_params["revision"])
    return JSONResponse({"success": True})


@takes_json
def create_tag(request: Request, data: dict[str, Any]) -> Response:
    """POST /api/models/{id}/tag/{revision}."""
    repo, principal = access.writable(request)
    message = body.text(data, "message", "")
    annotation = (signature(principal), message) if message else None
    with access.store(request).git(repo) as git:
        git.create_tag(body.text(data, "tag"), request.path_params["revision"], annotation)
    return JSONResponse({"success": True})


def delete_tag(request: Request) -> Response:
    """DELETE /api/models/{id}/tag/{tag}."""
    repo, _ = access.writable(request)
    with access.store(request).git(repo) as git:
        git.delete_tag(request.path_params["revision"])
    return JSONResponse({"success": True})


@takes_json
def squash(request: Request, data: dict[str, Any]) -> Response:
    """POST /api/models/{id}/super-squash/{branch}."""
    repo, principal = access.writable(request)
    branch = request.path_params["revision"]
    message = body.text(data, "message", f"Super-squash branch '{branch}'")
    with access.store(request).git(repo) as git:
        oid = git.squash(branch, message, signature(principal))
    return JSONResponse({"success": True, "commitOid": oid})


def _ref(ref: NamedRef) -> dict[str, str]:
    return {"name": ref.name, "ref": ref.ref, "targetCommit": ref.commit}


routes = [
    Route(f"{API}/refs", refs, methods=["GET"]),
    Route(f"{API}/branch/{REVISION}", create_branch, methods=["POST"]),
    Route(f"{API}/branch/{REVISION}", delete_branch, methods=["DELETE"]),
    Route(f"{API}/tag/{REVISION}", create_tag, methods=["POST"]),
    Route(f"{API}/tag/{REVISION}", delete_tag, methods=["DELETE"]),
    Route(f"{API}/super-squash/{REVISION}", squash, methods=["POST"]),
]
