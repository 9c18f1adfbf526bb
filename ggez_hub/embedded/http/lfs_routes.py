"""The Git LFS batch API, and the transfers it announces.

https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.errors import (
    EntryNotFoundError,
    InvalidRequestError,
    RepoNotFoundError,
    TooLargeError,
)
from ggez_hub.embedded.http import access, body
from ggez_hub.embedded.http.handlers import takes_json
from ggez_hub.embedded.http.pagination import base_url
from ggez_hub.embedded.http.path_parameters import WEB
from ggez_hub.embedded.http.resolve_routes import LargeFileResponse
from ggez_hub.embedded.lfs import CHUNK, LIFETIME, Action, Pointer, SignedTransfer, is_sha256

_MEDIA_TYPE: Final = "application/vnd.git-lfs+json"
MAX_OBJECTS: Final = 1000


@takes_json
def batch(request: Request, data: dict[str, Any]) -> Response:
    """POST /{id}.git/info/lfs/objects/batch: where to send the objects this repo does not hold yet.

    git-lfs also asks here where to fetch those that it holds.
    """
    operation = body.text(data, "operation")
    # Whoever may propose changes may bring the files for them.
    repo = access.content(request) if operation == "download" else access.contributable(request)[0]
    if operation not in {"upload", "download"}:
        raise InvalidRequestError("'operation' is 'upload' or 'download'")
    if data.get("hash_algo", "sha256") != "sha256":
        raise InvalidRequestError("Objects are named by their sha256")
    objects = data.get("objects")
    if not isinstance(objects, list) or len(objects) > MAX_OBJECTS:
        raise InvalidRequestError(f"'objects' must be a list of at most {MAX_OBJECTS}")
    wanted = [_pointer(item) for item in objects]
    held = access.store(request).catalog.linked(repo, (pointer.oid for pointer in wanted))
    describe = _download if operation == "download" else _upload
    answer = [
        {"oid": pointer.oid, "size": pointer.size}
        | describe(request, repo, pointer, present=held.get(pointer.oid) == pointer.size)
        for pointer in wanted
    ]
    return JSONResponse({"transfer": "basic", "objects": answer}, media_type=_MEDIA_TYPE)


def _upload(
    request: Request, repo: RepoRecord, pointer: Pointer, *, present: bool
) -> dict[str, Any]:
    limit = access.limits(request).lfs_object
    if present:
        return {}
    if pointer.size > limit:
        return _error(413, f"larger than {limit} bytes")
    return _action(request, "upload", repo, pointer)


def _download(
    request: Request, repo: RepoRecord, pointer: Pointer, *, present: bool
) -> dict[str, Any]:
    if not present:
        return _error(404, "this repo holds no such object")
    return _action(request, "download", repo, pointer)


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def _action(request: Request, action: Action, repo: RepoRecord, pointer: Pointer) -> dict[str, Any]:
    grant, signature = access.signer(request).grant(action, repo.key, pointer.oid, pointer.size)
    query = urlencode({"size": grant.size, "expires": grant.expires, "signature": signature})
    href = f"{base_url(request)}/lfs/{repo.key}/{pointer.oid}?{query}"
    return {"authenticated": True, "actions": {action: {"href": href, "expires_in": LIFETIME}}}


def download(request: Request) -> Response:
    """GET /lfs/{repo}/{oid}: an object that a repo holds; the address carries the permission."""
    pointer, repo = _granted(request, "download")
    store = access.store(request)
    if pointer.oid not in store.catalog.linked(repo, [pointer.oid]):
        raise EntryNotFoundError("This repo does not hold that object any longer")
    path = store.lfs.path(pointer.oid)
    return LargeFileResponse(path, media_type="application/octet-stream", stat_result=path.stat())


async def upload(request: Request) -> Response:
    """PUT /lfs/{repo}/{oid}: the object itself; the address carries the permission."""
    pointer, repo = await run_in_threadpool(_granted, request, "upload")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > pointer.size:
        raise TooLargeError(f"the upload is longer than the announced {pointer.size} bytes")
    store = access.store(request)
    register = partial(store.catalog.link, repo)
    receiving = store.lfs.receive(register, expected=pointer)
    incoming = await run_in_threadpool(receiving.__enter__)
    try:
        pending = bytearray()
        async for chunk in request.stream():
            pending += chunk
            if len(pending) >= CHUNK:
                await run_in_threadpool(incoming.write, bytes(pending))
                pending.clear()
        await run_in_threadpool(incoming.write, bytes(pending))
    except BaseException as error:
        receiving.__exit__(type(error), error, error.__traceback__)
        raise
    await run_in_threadpool(receiving.__exit__, None, None, None)
    return Response(status_code=200, headers={"ETag": f'"{pointer.oid}"'})


def _granted(request: Request, action: Action) -> tuple[Pointer, RepoRecord]:
    query = request.query_params
    try:
        grant = SignedTransfer(
            action=action,
            repo=int(request.path_params["repo"]),
            oid=request.path_params["oid"],
            size=int(query["size"]),
            expires=int(query["expires"]),
        )
    except (KeyError, ValueError) as error:
        raise InvalidRequestError("this is not an address of this hub") from error
    access.signer(request).check(grant, query.get("signature", ""))
    repo = access.store(request).catalog.by_key(grant.repo)
    if repo is None:
        raise RepoNotFoundError("Repository not found")
    return Pointer(grant.oid, grant.size), repo


def _pointer(item: object) -> Pointer:
    if not isinstance(item, dict):
        raise InvalidRequestError("each of 'objects' is an object")
    oid, size = item.get("oid"), item.get("size")
    if not isinstance(oid, str) or not is_sha256(oid):
        raise InvalidRequestError("'oid' must be a sha256")
    if not isinstance(size, int) or size < 0:
        raise InvalidRequestError("'size' must be a number")
    return Pointer(oid, size)


routes = [
    Route(f"{WEB}.git/info/lfs/objects/batch", batch, methods=["POST"]),
    Route("/lfs/{repo:hub_segment}/{oid:hub_segment}", upload, methods=["PUT"]),
    Route("/lfs/{repo:hub_segment}/{oid:hub_segment}", download, methods=["GET"]),
]
