"""The files of a revision: listing them, downloading them, and the commits that led to them."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from dulwich.objects import Commit
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ggez_hub.embedded.catalog import RepoRecord
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
        document = _entries(request, git, snapshot.commit, chosen, expand=expand)
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
        return JSONResponse(_entries(request, git, snapshot.commit, entries, expand=expand))


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
    request: Request, git: GitRepository, commit: str, entries: Sequence[Entry], *, expand: bool
) -> list[dict[str, Any]]:
    changes = last_changes(git.objects, commit, [entry.path for entry in entries]) if expand else {}
    large = (entry.lfs.oid for entry in entries if entry.lfs is not None)
    hashes = access.store(request).xet.catalog.hashes(large)
    return [_entry(entry, hashes, changes.get(entry.path)) for entry in entries]


def _entry(entry: Entry, hashes: Mapping[str, str], last: Commit | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "type": "directory" if entry.is_folder else "file",
        "oid": entry.oid,
        "size": entry.size,
        "path": entry.path,
    }
    if entry.lfs is not None:
        document["lfs"] = lfs_document("oid", entry.lfs)
        if (digest := hashes.get(entry.lfs.oid)) is not None:
            document["xetHash"] = digest
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


def large_file(request: Request, pointer: Pointer, headers: dict[str, str]) -> Response:
    """The answer with a large file, stored as it is or in chunks."""
    store = access.store(request)
    path = store.lfs.path(pointer.oid)
    file = None if path.exists() else store.xet.catalog.file(pointer.oid)
    if file is None:
        return LargeFileResponse(path, headers)
    wanted = requested_range(request.headers.get("range"), file.size)
    status, headers, wanted = _status(wanted, file.size, headers)
    headers["Content-Length"] = str(len(wanted))
    blocks = store.xet.content(file, wanted.start, wanted.stop)
    if request.method == "HEAD":
        blocks = iter(())
    return StreamingResponse(blocks, status, headers, "application/octet-stream")


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
            headers |= _xet_headers(request, repo, snapshot.commit, entry.lfs)
            return large_file(request, entry.lfs, headers)
        content = snapshot.read(entry)
    wanted = requested_range(request.headers.get("range"), len(content))
    status, headers, wanted = _status(wanted, len(content), headers)
    media_type = "text/plain; charset=utf-8"
    return Response(content[wanted.start : wanted.stop], status, headers, media_type)


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


def _xet_headers(
    request: Request, repo: RepoRecord, commit: str, pointer: Pointer
) -> dict[str, str]:
    """Where a client that speaks Xet gets the file, if it came by Xet."""
    digest = access.store(request).xet.catalog.hashes([pointer.oid]).get(pointer.oid)
    if digest is None:
        return {}
    address = f"{request.base_url}api/{repo.type}s/{repo.id}/xet-read-token/{commit}"
    return {"X-Xet-Hash": digest, "Link": f'<{address}>; rel="xet-auth"'}


def requested_range(wanted: str | None, size: int) -> range | None:
    """The bytes that a `Range` header asks for (RFC 9110, one range); None for all, empty if outside.

    A range that is not understood is ignored, as the RFC allows.
    """
    match = _RANGE.fullmatch(wanted.strip()) if wanted else None
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        return range(int(match[1]), min(int(match[2]) + 1 if match[2] else size, size))
    return range(max(size - int(match[2]), 0), size)


def _status(
    wanted: range | None, size: int, headers: dict[str, str]
) -> tuple[int, dict[str, str], range]:
    """The status, the headers and the bytes of an answer."""
    if wanted is None:
        return 200, headers, range(size)
    if not wanted:
        return 416, {**headers, "Content-Range": f"bytes */{size}"}, range(0)
    span = f"bytes {wanted.start}-{wanted.stop - 1}/{size}"
    return 206, {**headers, "Content-Range": span}, wanted


routes = [
    Route(f"{API}/tree/{REVISION}", tree, methods=["GET"]),
    Route(f"{API}/tree/{REVISION}/{REST}", tree, methods=["GET"]),
    Route(f"{API}/paths-info/{REVISION}", paths_info, methods=["POST"]),
    Route(f"{API}/commits/{REVISION}", commits, methods=["GET"]),
    Route(f"{WEB}/resolve/{REVISION}/{REST}", resolve, methods=["GET", "HEAD"]),
]
