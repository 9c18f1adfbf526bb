"""The files of a revision: listing them, downloading them, and the commits that led to them."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from dulwich.objects import Commit
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.commits import Entry, ancestry, author_name, last_changes, title_and_message
from ggez_hub.embedded.errors import TooLargeError
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.body import read_form
from ggez_hub.embedded.http.parameters import API, REST, REVISION, WEB, flag, page, timestamp
from ggez_hub.embedded.lfs import CHUNK, Pointer
from ggez_hub.embedded.repository import GitRepository

PAGE: Final = 1000
EXPANDED_PAGE: Final = 50
MAX_PATHS: Final = 1000

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
# A stored page must not run as a page of the hub in somebody's browser.
_INERT: Final = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


def tree(request: Request) -> Response:
    """GET /api/models/{id}/tree/{revision}[/{path}]."""
    repo = access.readable(request)
    path = request.path_params.get("path", "").strip("/")
    expand = flag(request, "expand")
    with access.store(request).git(repo) as git:
        snapshot = git.snapshot(request.path_params["revision"])
        request.state.commit = snapshot.commit
        entries = snapshot.listing(path, recursive=flag(request, "recursive"))
        chosen, headers = page(request, entries, EXPANDED_PAGE if expand else PAGE)
        document = _entries(git, snapshot.commit, chosen, expand=expand)
    return JSONResponse(document, headers=headers)


async def paths_info(request: Request) -> Response:
    """POST /api/models/{id}/paths-info/{revision}: paths that do not exist are left out."""
    return await run_in_threadpool(_paths_info, request, await read_form(request))


def _paths_info(request: Request, form: dict[str, list[str]]) -> Response:
    repo = access.readable(request)
    paths = form.get("paths", [])
    if len(paths) > MAX_PATHS:
        raise TooLargeError(f"too many parameters: ask for at most {MAX_PATHS} paths at once")
    expand = form.get("expand", [""])[0].lower() in {"true", "1"}
    with access.store(request).git(repo) as git:
        snapshot = git.snapshot(request.path_params["revision"])
        found = [snapshot.find(path.strip("/")) for path in paths if path.strip("/")]
        entries = [entry for entry in found if entry is not None]
        return JSONResponse(_entries(git, snapshot.commit, entries, expand=expand))


def commits(request: Request) -> Response:
    """GET /api/models/{id}/commits/{revision}: newest first."""
    repo = access.readable(request)
    query = request.query_params
    formatted = "formatted" in {*query.getlist("expand[]"), *query.getlist("expand")}
    with access.store(request).git(repo) as git:
        start = git.refs.resolve(request.path_params["revision"])
        found = list(ancestry(git.objects, start))
    chosen, headers = page(request, found, PAGE)
    document = [_commit(commit, formatted=formatted) for commit in chosen]
    return JSONResponse(document, headers={**headers, "X-Total-Count": str(len(found))})


def _entries(
    git: GitRepository, commit: str, entries: Sequence[Entry], *, expand: bool
) -> list[dict[str, Any]]:
    changes = last_changes(git.objects, commit, [entry.path for entry in entries]) if expand else {}
    return [_entry(entry, changes.get(entry.path)) for entry in entries]


def _entry(entry: Entry, last: Commit | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "type": "directory" if entry.is_folder else "file",
        "oid": entry.oid,
        "size": entry.size,
        "path": entry.path,
    }
    if entry.lfs is not None:
        document["lfs"] = lfs_document("oid", entry.lfs)
    if last is not None:
        document["lastCommit"] = {
            "id": last.id.decode(),
            "title": title_and_message(last)[0],
            "date": timestamp(last.commit_time),
        }
    return document


def lfs_document(digest: str, pointer: Pointer) -> dict[str, Any]:
    """A large file as the Hub's API writes it; `digest` is the key of the sha256."""
    return {
        digest: pointer.oid,
        "size": pointer.size,
        "pointerSize": len(pointer.encode()),
    }


def _commit(commit: Commit, *, formatted: bool) -> dict[str, Any]:
    title, message = title_and_message(commit)
    document: dict[str, Any] = {
        "id": commit.id.decode(),
        "title": title,
        "message": message,
        "authors": [{"user": author_name(commit)}],
        "date": timestamp(commit.commit_time),
    }
    if formatted:
        document["formatted"] = {"title": html.escape(title), "message": html.escape(message)}
    return document


class LargeFileResponse(FileResponse):
    """A large file from disk, in chunks that keep up with a local network."""

    chunk_size = CHUNK

    def __init__(self, path: Path, headers: dict[str, str] | None = None) -> None:
        super().__init__(
            path,
            headers=headers,
            media_type="application/octet-stream",
            stat_result=path.stat(),
        )


def resolve(request: Request) -> Response:
    """HEAD and GET /{id}/resolve/{revision}/{path}."""
    repo = access.content(request)
    store = access.store(request)
    with store.git(repo) as git:
        snapshot = git.snapshot(request.path_params["revision"])
        request.state.commit = snapshot.commit
        entry = snapshot.file(request.path_params["path"])
        headers = _headers(snapshot.commit, entry)
        if entry.lfs is not None:
            return LargeFileResponse(store.lfs.path(entry.lfs.oid), headers)
        content = snapshot.read(entry)
    return _ranged(content, headers, request.headers.get("range"))


def _headers(commit: str, entry: Entry) -> dict[str, str]:
    name = entry.path.rpartition("/")[2]
    etag = f'"{entry.lfs.oid if entry.lfs else entry.oid}"'
    headers = {
        **_INERT,
        "X-Repo-Commit": commit,
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(name, safe='')}",
    }
    if entry.lfs is not None:
        headers |= {"X-Linked-Etag": etag, "X-Linked-Size": str(entry.size)}
    return headers


def _ranged(content: bytes, headers: dict[str, str], wanted: str | None) -> Response:
    """The content, or the range of it that a `Range` header asks for (RFC 9110, one range)."""
    media_type = "text/plain; charset=utf-8"
    size = len(content)
    match = _RANGE.fullmatch(wanted.strip()) if wanted else None
    if match is None or not (match[1] or match[2]):
        # A range that is not understood is ignored, as the RFC allows.
        return Response(content, headers=headers, media_type=media_type)
    if match[1]:
        start, end = int(match[1]), min(int(match[2]) + 1 if match[2] else size, size)
    else:
        start, end = max(size - int(match[2]), 0), size
    if start >= end:
        headers["Content-Range"] = f"bytes */{size}"
        return Response(status_code=416, headers=headers)
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return Response(content[start:end], 206, headers, media_type)


routes = [
    Route(f"{API}/tree/{REVISION}", tree, methods=["GET"]),
    Route(f"{API}/tree/{REVISION}/{REST}", tree, methods=["GET"]),
    Route(f"{API}/paths-info/{REVISION}", paths_info, methods=["POST"]),
    Route(f"{API}/commits/{REVISION}", commits, methods=["GET"]),
    Route(f"{WEB}/resolve/{REVISION}/{REST}", resolve, methods=["GET", "HEAD"]),
]
