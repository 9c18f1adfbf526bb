"""Buckets: `/api/buckets`, as huggingface_hub and @huggingface/hub use them. Their files go and come by Xet."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.access_control import Principal, require_write
from ggez_hub.embedded.buckets import EMPTY, BucketEdit, BucketFile, BucketFolder
from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.commits import Entry
from ggez_hub.embedded.errors import (
    AlreadyExistsError,
    EntryNotFoundError,
    HubError,
    InvalidRequestError,
    TooLargeError,
)
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.body import Body, RepoPath, limits, parse, read, read_form, takes
from ggez_hub.embedded.http.file_routes import file_answer
from ggez_hub.embedded.http.parameters import link_to_next, next_page, timestamp, window
from ggez_hub.embedded.http.xet_access import connection
from ggez_hub.embedded.lfs import Pointer
from ggez_hub.embedded.names import RepoType, check_namespace, split_repo_id

PAGE: Final = 1000
MOST_LISTED: Final = 100
MOST_OPERATIONS: Final = 10_000
# What the Xet client has for a file without content, of which nothing is sent.
EMPTY_HASH: Final = "0" * 64

XetHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Visibility(Body):
    visibility: Literal["public", "private"] | None = None
    private: bool | None = None

    def or_else(self, default: bool) -> bool:
        if self.visibility is not None:
            return self.visibility == "private"
        return default if self.private is None else self.private


@takes(_Visibility, access.known_caller)
def create(request: Request, principal: Principal, data: _Visibility) -> Response:
    """POST /api/buckets/{owner}/{name} {visibility}; the owner `me` is the caller."""
    owner, store = request.path_params["owner"], access.store(request)
    owner = principal.name if owner == "me" else check_namespace(owner)
    bucket_id = "/".join(split_repo_id(f"{owner}/{request.path_params['bucket']}"))
    require_write(principal, owner)
    document = {"url": f"{request.base_url}buckets/{bucket_id}", "name": bucket_id}
    try:
        private = data.or_else(store.accounts.default_private(owner))
        store.create_repo("bucket", bucket_id, private=private)
    except AlreadyExistsError as error:
        # The client reads the address from this answer when it was told `exist_ok`.
        return JSONResponse({**document, "error": error.message}, error.status)
    return JSONResponse({**document, "id": str(store.repo("bucket", bucket_id).key)})


def listing(request: Request) -> Response:
    """GET /api/buckets/{owner}[?search=]: those that the caller may see."""
    owner, principal = request.path_params["owner"], access.caller(request)
    if owner == "me":
        owner = access.known_caller(request).name
    elif not access.store(request).accounts.exists(owner):
        unnamed(request)
    start, size = window(request, MOST_LISTED)
    words = request.query_params.get("search", "")
    found = access.store(request).buckets.of(owner, principal, words, start, size + 1)
    headers = next_page(request, start + size) if 0 < size < len(found) else {}
    return JSONResponse([_document(request, each) for each in found[:size]], headers=headers)


def unnamed(request: Request) -> Response:
    """A bucket without a namespace: there are none."""
    raise access.missing(request)


def info(request: Request) -> Response:
    """GET /api/buckets/{id}."""
    return JSONResponse(_document(request, access.readable(request)))


def _document(request: Request, bucket: RepoRecord) -> dict[str, Any]:
    totals = access.store(request).buckets.totals(bucket)
    return {
        "id": bucket.id,
        "private": bucket.private,
        "visibility": "private" if bucket.private else "public",
        "createdAt": timestamp(bucket.created),
        "size": totals.size,
        "totalFiles": totals.files,
    }


def delete(request: Request) -> Response:
    """DELETE /api/buckets/{id}."""
    granted = access.writable(request)
    granted.store.delete_repo(granted.repo)
    return JSONResponse({"success": True})


@takes(_Visibility, access.writable)
def settings(request: Request, granted: access.Granted, data: _Visibility) -> Response:
    """PUT /api/buckets/{id}/settings {private}."""
    private = data.or_else(granted.repo.private)
    granted.store.catalog.set_access(granted.repo, private=private, gated=None)
    return JSONResponse({"private": private})


def tree(request: Request) -> Response:
    """GET /api/buckets/{id}/tree[/{prefix}][?recursive=false]: what begins with the prefix, letter by letter."""
    bucket, prefix = access.readable(request), request.path_params.get("path", "")
    after = _decoded(request.query_params.get("cursor", ""))
    buckets = access.store(request).buckets
    found: list[BucketFile | BucketFolder]
    if request.query_params.get("recursive", "").lower() in {"false", "0"}:
        found = [*buckets.entries(bucket, prefix, after, PAGE + 1)]
    else:
        found = [*buckets.files(bucket, prefix, after, PAGE + 1)]
    headers = {}
    if len(found) > PAGE:
        last = found[PAGE - 1]
        place = last.path + ("/" if isinstance(last, BucketFolder) else "")
        headers = link_to_next(request, base64.urlsafe_b64encode(place.encode()).decode())
    return JSONResponse([_entry(each) for each in found[:PAGE]], headers=headers)


def _decoded(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor).decode()
    except ValueError as error:
        raise InvalidRequestError("'cursor' is not one of this hub") from error


def _entry(entry: BucketFile | BucketFolder) -> dict[str, Any]:
    document: dict[str, Any] = {"path": entry.path, "uploadedAt": timestamp(entry.uploaded)}
    if isinstance(entry, BucketFolder):
        return {"type": "directory", **document}
    document["xetHash"] = (entry.hash or "") if entry.size else EMPTY_HASH
    if entry.mtime is not None:
        document["mtime"] = timestamp(entry.mtime // 1000, entry.mtime % 1000)
    return {"type": "file", "size": entry.size, **document}


async def paths_info(request: Request) -> Response:
    """POST /api/buckets/{id}/paths-info {paths}: what is not there is left out."""
    form = await read_form(request)
    return await run_in_threadpool(_paths_info, request, form.get("paths", []))


def _paths_info(request: Request, paths: list[str]) -> Response:
    bucket = access.readable(request)
    if len(paths) > MOST_OPERATIONS:
        raise TooLargeError(f"At most {MOST_OPERATIONS} paths can be asked for")
    found = access.store(request).buckets.find(bucket, paths)
    return JSONResponse([_entry(file) for file in found])


def resolve(request: Request) -> Response:
    """HEAD and GET /buckets/{id}/resolve/{path}."""
    bucket, path = access.readable(request), request.path_params["path"]
    found = access.store(request).buckets.find(bucket, [path])
    if not found:
        raise EntryNotFoundError(f"Entry not found: {path[:200]}")
    [file] = found
    pointer = Pointer(file.oid, file.size) if file.size else None
    entry = Entry(path, file.oid, is_folder=False, size=file.size, lfs=pointer)
    # The client asks for a token by what it is told of any file.
    headers = {}
    if not file.size:
        address = f"{request.base_url}api/buckets/{bucket.id}/xet-read-token"
        headers = {"X-Xet-Hash": EMPTY_HASH, "Link": f'<{address}>; rel="xet-auth"'}
    return file_answer(request, bucket, entry, headers, bytes)


def read_token(request: Request) -> Response:
    """GET /api/buckets/{id}/xet-read-token."""
    return connection(request, access.readable(request), access.caller(request), "read")


def write_token(request: Request) -> Response:
    """GET /api/buckets/{id}/xet-write-token."""
    granted = access.writable(request)
    granted.store.quotas.check(granted.repo.namespace, 0)
    return connection(request, granted.repo, granted.principal, "write")


class _Put(Body):
    path: RepoPath
    xetHash: XetHash  # noqa: N815 - as the Hub spells it
    mtime: int | None = Field(None, ge=0, lt=1 << 47)
    contentType: str | None = Field(None, max_length=255)  # noqa: N815


class _Add(_Put):
    type: Literal["addFile"]


class _Copy(_Put):
    type: Literal["copyFile"]
    sourceRepoType: RepoType  # noqa: N815
    sourceRepoId: str  # noqa: N815


class _Remove(Body):
    type: Literal["deleteFile"]
    path: str


Operation = _Add | _Copy | _Remove
_OPERATION: Final = TypeAdapter[Operation](Annotated[Operation, Field(discriminator="type")])


async def batch(request: Request) -> Response:
    """POST /api/buckets/{id}/batch: lines of JSON. What cannot be done is named, and the rest is done."""
    data = await read(request, limits(request).json_body)
    return await run_in_threadpool(_batch, request, data)


def _batch(request: Request, data: bytes) -> Response:
    granted = access.writable(request)
    lines = [line for line in data.split(b"\n") if line.strip()]
    if len(lines) > MOST_OPERATIONS:
        raise TooLargeError(f"A batch has at most {MOST_OPERATIONS} operations: send several")
    failed: list[dict[str, str]] = []
    ready: list[tuple[Operation, str]] = []
    for line in lines:
        operation, path = None, ""
        try:
            value = parse(line)
            path = str(value.get("path", ""))[:1024] if isinstance(value, dict) else ""
            operation = _operation(value)
            ready.append((operation, _held(request, granted, operation)))
        except HubError as error:
            failed.append({"path": path, "error": error.message})
    with granted.store.buckets.change(granted.repo) as change:
        for operation, oid in ready:
            try:
                _apply(change, operation, oid)
            except HubError as error:
                failed.append({"path": operation.path, "error": error.message})
    document = {
        "success": not failed,
        "processed": len(lines),
        "succeeded": len(lines) - len(failed),
        "failed": failed,
    }
    return JSONResponse(document, 422 if failed and len(failed) == len(lines) else 200)


def _operation(value: object) -> Operation:
    try:
        return _OPERATION.validate_python(value)
    except ValidationError as error:
        raise InvalidRequestError.of(error) from error


def _held(request: Request, granted: access.Granted, operation: Operation) -> str:
    """The large file that an operation puts somewhere, which the bucket holds then; raises HubError."""
    store, bucket, _ = granted
    if isinstance(operation, _Remove):
        return ""
    source = bucket
    if isinstance(operation, _Copy):
        source = access.find(request, operation.sourceRepoType, operation.sourceRepoId)
        if not access.may_read(request, source):
            raise EntryNotFoundError(f"You may not read the files of {source.id}")
    if operation.xetHash == EMPTY_HASH and (
        isinstance(operation, _Add) or store.catalog.linked(source, [EMPTY])
    ):
        return EMPTY
    found = store.xet.catalog.held(source, operation.xetHash)
    if found is None:
        raise EntryNotFoundError(f"{source.id} has no file {operation.xetHash}: upload it first")
    if source != bucket and not store.catalog.linked(bucket, [found.sha256]):
        store.catalog.refuse_purged([found.sha256])
        store.quotas.check(bucket.namespace, found.size)
        store.catalog.share(source, bucket, [found.sha256])
    return found.sha256


def _apply(change: BucketEdit, operation: Operation, oid: str) -> None:
    if not isinstance(operation, _Remove):
        change.put(operation.path, oid, operation.mtime, operation.contentType)
    elif not change.remove(operation.path):
        raise EntryNotFoundError("There is no such file")


_ONE: Final = "/api/{kind:hub_bucket}/{namespace:hub_segment}/{name:hub_segment}"
_FILE: Final = (
    "/{kind:hub_bucket}/{namespace:hub_segment}/{name:hub_segment}/resolve/{path:hub_rest}"
)

routes = [
    Route("/api/buckets/{owner:hub_segment}/{bucket:hub_segment}", create, methods=["POST"]),
    Route("/api/buckets/{owner:hub_segment}", listing, methods=["GET"]),
    Route("/api/buckets/{owner:hub_segment}", unnamed, methods=["DELETE"]),
    Route(_ONE, info, methods=["GET"]),
    Route(_ONE, delete, methods=["DELETE"]),
    Route(f"{_ONE}/settings", settings, methods=["PUT"]),
    Route(f"{_ONE}/tree", tree, methods=["GET"]),
    Route(f"{_ONE}/tree/{{path:hub_rest}}", tree, methods=["GET"]),
    Route(f"{_ONE}/paths-info", paths_info, methods=["POST"]),
    Route(f"{_ONE}/batch", batch, methods=["POST"]),
    Route(f"{_ONE}/xet-read-token", read_token, methods=["GET"]),
    Route(f"{_ONE}/xet-write-token", write_token, methods=["GET"]),
    Route(_FILE, resolve, methods=["GET", "HEAD"]),
]
