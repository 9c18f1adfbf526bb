"""The Git LFS batch API, and the transfers it announces.

https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, Literal
from urllib.parse import urlencode

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.access_control import require_write
from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.errors import (
    EntryNotFoundError,
    InvalidRequestError,
    RepoNotFoundError,
    TooLargeError,
)
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.body import Body, Sha256, limits, takes
from ggez_hub.embedded.http.file_routes import large_file
from ggez_hub.embedded.http.parameters import API, WEB
from ggez_hub.embedded.http.xet_access import connection_headers
from ggez_hub.embedded.lfs import CHUNK, LIFETIME, Action, Pointer
from ggez_hub.embedded.repository import DEFAULT_BRANCH

_MEDIA_TYPE: Final = "application/vnd.git-lfs+json"
MAX_OBJECTS: Final = 1000


class _Object(Body):
    oid: Sha256
    size: int = Field(ge=0)


class _Batch(Body):
    operation: Action
    # The JavaScript client of the Hub spells it in its own way.
    hash_algo: Literal["sha256", "sha_256"] = "sha256"
    transfers: list[str] = Field(default_factory=list)
    objects: list[_Object] = Field(max_length=MAX_OBJECTS)


@takes(_Batch, access.content)
def batch(request: Request, repo: RepoRecord, data: _Batch) -> Response:
    """POST /{id}.git/info/lfs/objects/batch: where to send the objects this repo does not hold yet.

    git-lfs also asks here where to fetch those that it holds.
    """
    if data.operation == "upload":
        # Whoever may propose changes may bring the files for them.
        access.contributable(request)
    catalog = access.store(request).catalog
    # Who uploads counts on what is there from now on.
    held_of = catalog.use if data.operation == "upload" else catalog.linked
    held = held_of(repo, [item.oid for item in data.objects])
    new = {item.oid: item.size for item in data.objects if item.oid not in held}
    if data.operation == "upload" and new:
        catalog.refuse_purged(new)
        access.store(request).quotas.check(repo.namespace, sum(new.values()))
    by_xet = data.operation == "upload" and "xet" in data.transfers
    answer = []
    for item in data.objects:
        pointer = Pointer(item.oid, item.size)
        document = _refusal(
            request, data.operation, pointer, present=held.get(item.oid) == item.size
        )
        if document is None:
            action = (
                _xet_address(request, repo)
                if by_xet
                else _address(request, data.operation, repo, pointer)
            )
            document = {"authenticated": True, "actions": {data.operation: action}}
        answer.append({"oid": item.oid, "size": item.size} | document)
    transfer = "xet" if by_xet else "basic"
    return JSONResponse({"transfer": transfer, "objects": answer}, media_type=_MEDIA_TYPE)


def _refusal(
    request: Request, action: Action, pointer: Pointer, *, present: bool
) -> dict[str, Any] | None:
    """Why an object is not transferred, or None if it is."""
    limit = limits(request).lfs_object
    if action == "download" and not present:
        return {"error": {"code": 404, "message": "this repo holds no such object"}}
    if action == "upload" and present:
        return {}
    if action == "upload" and pointer.size > limit:
        return {"error": {"code": 413, "message": f"larger than {limit} bytes"}}
    return None


def _address(
    request: Request, action: Action, repo: RepoRecord, pointer: Pointer
) -> dict[str, Any]:
    query = access.store(request).signer.sign(action, repo.key, pointer.oid, pointer.size)
    query["size"] = pointer.size
    href = f"{request.base_url}lfs/{repo.key}/{pointer.oid}?{urlencode(query)}"
    return {"href": href, "expires_in": LIFETIME}


def _xet_address(request: Request, repo: RepoRecord) -> dict[str, Any]:
    """Where the JavaScript client of the Hub gets a token when the one in the headers expires."""
    href = f"{request.base_url}api/{repo.type}s/{repo.id}/xet-write-token/{DEFAULT_BRANCH}"
    headers = connection_headers(request, repo, access.caller(request), "write")
    return {"href": href, "header": headers}


class _Target(Body):
    type: str = "model"
    name: str


class _Copied(Body):
    sha256: Sha256


class _Duplicates(Body):
    target: _Target
    files: list[_Copied] = Field(max_length=MAX_OBJECTS)


@takes(_Duplicates, access.contributable)
def duplicate(request: Request, granted: access.Granted, data: _Duplicates) -> Response:
    """POST /api/models/{id}/lfs-files/duplicate: let another repo hold large files of this one, too."""
    store, repo, principal = granted
    other = access.find(request, data.target.type, data.target.name)
    require_write(principal, other.namespace)
    held = store.catalog.linked(repo, (file.sha256 for file in data.files))
    store.quotas.check(other.namespace, sum(held.values()))
    held = store.catalog.share(repo, other, (file.sha256 for file in data.files))
    missing = [file.sha256 for file in data.files if file.sha256 not in held]
    failed = [{"sha256": oid, "error": f"{repo.id} holds no such file"} for oid in missing]
    return JSONResponse({"success": [{"sha256": oid} for oid in held], "failed": failed})


def download(request: Request) -> Response:
    """GET /lfs/{repo}/{oid}: an object that a repo holds; the address carries the permission."""
    pointer, repo = _granted(request, "download")
    store = access.store(request)
    if pointer.oid not in store.catalog.linked(repo, [pointer.oid]):
        raise EntryNotFoundError("This repo does not hold that object any longer")
    return large_file(request, pointer, {"Accept-Ranges": "bytes"})


async def upload(request: Request) -> Response:
    """PUT /lfs/{repo}/{oid}: the object itself; the address carries the permission."""
    pointer, repo = await run_in_threadpool(_granted, request, "upload")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > pointer.size:
        raise TooLargeError(f"the upload is longer than the announced {pointer.size} bytes")
    store = access.store(request)
    # Again: what was announced in the meantime has come.
    await run_in_threadpool(store.quotas.check, repo.namespace, pointer.size)
    receiving = store.lfs.receive(partial(store.catalog.link, repo), expected=pointer)
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
    return Response(headers={"ETag": f'"{pointer.oid}"'})


def _granted(request: Request, action: Action) -> tuple[Pointer, RepoRecord]:
    query = request.query_params
    try:
        key, expires = int(request.path_params["repo"]), int(query["expires"])
        pointer = Pointer(request.path_params["oid"], int(query["size"]))
    except (KeyError, ValueError) as error:
        raise InvalidRequestError("this is not an address of this hub") from error
    store = access.store(request)
    store.signer.check(
        *(action, key, pointer.oid, pointer.size),
        expires=expires,
        signature=query.get("signature", ""),
    )
    repo = store.catalog.by_key(key)
    if repo is None:
        raise RepoNotFoundError("Repository not found")
    return pointer, repo


routes = [
    Route(f"{WEB}.git/info/lfs/objects/batch", batch, methods=["POST"]),
    Route(f"{API}/lfs-files/duplicate", duplicate, methods=["POST"]),
    Route("/lfs/{repo:hub_segment}/{oid:hub_segment}", upload, methods=["PUT"]),
    Route("/lfs/{repo:hub_segment}/{oid:hub_segment}", download, methods=["GET"]),
]
