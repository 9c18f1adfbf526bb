"""Commits: which files go to LFS, and the commit itself as newline-delimited JSON."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.attributes import ignored
from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.errors import (
    InvalidRequestError,
    PermissionDeniedError,
    RevisionNotFoundError,
    TooLargeError,
)
from ggez_hub.embedded.http import access, body
from ggez_hub.embedded.http.paging import base_url, flag
from ggez_hub.embedded.http.repo_routes import signature
from ggez_hub.embedded.http.routing import API, REVISION
from ggez_hub.embedded.lfs import Pointer, is_sha256
from ggez_hub.embedded.paths import check_path
from ggez_hub.embedded.repository import (
    DEFAULT_BRANCH,
    Change,
    GitRepository,
    PutBlob,
    PutPointer,
    Remove,
)
from ggez_hub.embedded.snapshot import Snapshot


async def preupload(request: Request) -> Response:
    """POST /api/models/{id}/preupload/{revision}: how each file is to be sent."""
    data = await body.read_json(request, access.limits(request).json_body)
    return await run_in_threadpool(_preupload, request, data)


def _preupload(request: Request, data: dict[str, Any]) -> Response:
    repo, _ = access.writable(request)
    _refuse_pull_request(request)
    files = data.get("files")
    if not isinstance(files, list):
        raise InvalidRequestError("'files' must be a list")
    with access.store(request).git(repo) as git:
        head = _branch_head(git, _branch(request))
        snapshot = Snapshot(git.objects, head) if head else None
        attributes = git.attributes(head)
        rules = body.text(data, "gitIgnore", "").encode(errors="replace")
        if not rules and snapshot is not None:
            rules = snapshot.text(".gitignore") or b""
        answer = []
        for item in files:
            file = _announced(item)
            lfs = attributes.wants_lfs(file.path, file.size, file.sample)
            entry = snapshot.find(file.path) if snapshot else None
            present = entry.lfs.oid if entry and entry.lfs else entry.oid if entry else None
            answer.append(
                {
                    "path": file.path,
                    "uploadMode": "lfs" if lfs else "regular",
                    "shouldIgnore": ignored(rules, file.path),
                    "oid": present,
                }
            )
    return JSONResponse({"files": answer})


@dataclass(frozen=True, slots=True)
class _Header:
    message: str
    parent: str | None


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    size: int
    sample: bytes


async def commit(request: Request) -> Response:
    """POST /api/models/{id}/commit/{revision}.

    Files are stored as their lines arrive, so no more than one is in memory; the branch moves at the end.
    """
    repo, _ = await run_in_threadpool(access.writable, request)
    _refuse_pull_request(request)
    limits = access.limits(request)
    lines = body.read_lines(request, limits.commit_line, limits.commit_body)
    header, changes = await _receive(request, repo, lines)
    oid = await run_in_threadpool(_commit, request, header, changes)
    url = f"{base_url(request)}/{repo.url_path}/commit/{oid}"
    return JSONResponse({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})


async def _receive(
    request: Request, repo: RepoRecord, lines: AsyncIterator[bytes]
) -> tuple[_Header, list[Change]]:
    header: _Header | None = None
    changes: list[Change] = []
    async for line in lines:
        item = body.parse_object(line)
        key, value = item.get("key"), item.get("value")
        if not isinstance(value, dict):
            raise InvalidRequestError("each line of a commit has a 'key' and a 'value'")
        if key == "header":
            header = _header(value)
        elif header is None:
            raise InvalidRequestError("the first line of a commit is its header")
        else:
            changes.append(await run_in_threadpool(_change, request, repo, key, value))
    if header is None:
        raise InvalidRequestError("a commit has a header")
    return header, changes


def _commit(request: Request, header: _Header, changes: list[Change]) -> str:
    # Again, with the repo as it is now: it may have been moved or closed to the caller meanwhile.
    repo, principal = access.writable(request)
    branch = _branch(request)
    with access.store(request).git(repo) as git:
        _branch_head(git, branch)
        return git.commit(
            branch,
            changes,
            message=header.message,
            signature=signature(principal),
            parent=header.parent,
        )


def _header(value: dict[str, Any]) -> _Header:
    summary = body.text(value, "summary")
    if not summary.strip():
        raise InvalidRequestError("the summary of a commit is empty")
    description = body.text(value, "description", "")
    message = f"{summary}\n\n{description}" if description else summary
    return _Header(message, body.text(value, "parentCommit", "") or None)


def _change(request: Request, repo: RepoRecord, key: object, value: dict[str, Any]) -> Change:
    path = body.text(value, "path")
    match key:
        case "file":
            check_path(path)
            return PutBlob(path, _store_file(request, repo, value))
        case "lfsFile":
            check_path(path)
            return PutPointer(path, _held(request, repo, value.get("oid")))
        case "deletedFile" | "deletedFolder":
            return Remove(check_path(path.rstrip("/")), folder=key == "deletedFolder")
        case _:
            raise InvalidRequestError(f"{key!r} is not an operation of a commit")


def _store_file(request: Request, repo: RepoRecord, value: dict[str, Any]) -> str:
    content = body.text(value, "content")
    match value.get("encoding", "utf-8"):
        case "base64":
            try:
                data = base64.b64decode(content, validate=True)
            except binascii.Error as error:
                raise InvalidRequestError("the content is not base64") from error
        case "utf-8":
            data = content.encode(errors="replace")
        case other:
            raise InvalidRequestError(f"{other!r} is not an encoding: use 'base64' or 'utf-8'")
    limit = access.limits(request).regular_file
    if len(data) > limit:
        raise TooLargeError(f"a file of more than {limit} bytes must be uploaded with LFS")
    pointer = Pointer.parse(data)
    if pointer is not None:
        # Served as the object it names, it could open a file of another repo.
        _held(request, repo, pointer.oid)
    with access.store(request).git(repo) as git:
        return git.objects.write_blob(data)


def _held(request: Request, repo: RepoRecord, oid: object) -> Pointer:
    if not isinstance(oid, str) or not is_sha256(oid):
        raise InvalidRequestError("'oid' must be a sha256")
    size = access.store(request).catalog.linked(repo, [oid]).get(oid)
    if size is None:
        raise InvalidRequestError(f"LFS pointer pointed to a file that does not exist: {oid}")
    return Pointer(oid, size)


def _announced(item: object) -> _File:
    if not isinstance(item, dict):
        raise InvalidRequestError("each of 'files' is an object")
    size = item.get("size")
    if not isinstance(size, int) or size < 0:
        raise InvalidRequestError("'size' must be a number")
    try:
        sample = base64.b64decode(body.text(item, "sample", ""), validate=True)
    except binascii.Error as error:
        raise InvalidRequestError("'sample' is not base64") from error
    return _File(check_path(body.text(item, "path")), size, sample)


def _branch(request: Request) -> str:
    revision: str = request.path_params["revision"]
    return revision.removeprefix("refs/heads/")


def _branch_head(git: GitRepository, branch: str) -> str | None:
    head = git.refs.head(branch)
    if head is None and branch != DEFAULT_BRANCH:
        raise RevisionNotFoundError(f"Invalid rev id: {branch[:200]}")
    return head


def _refuse_pull_request(request: Request) -> None:
    if flag(request, "create_pr"):
        raise PermissionDeniedError("Discussions are disabled for this repo")


routes = [
    Route(f"{API}/preupload/{REVISION}", preupload, methods=["POST"]),
    Route(f"{API}/commit/{REVISION}", commit, methods=["POST"]),
]
