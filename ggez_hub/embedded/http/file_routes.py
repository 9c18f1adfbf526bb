"""The files of a revision: listing them, downloading them, and the commits that led to them."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from anyio import to_thread
from dulwich.objects import Commit
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.commits import Entry, author_name, title_and_message
from ggez_hub.embedded.errors import EntryNotFoundError, TooLargeError
from ggez_hub.embedded.history import first_parents, last_changes
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.body import read_form
from ggez_hub.embedded.http.parameters import API, REST, REVISION, WEB, flag, page, timestamp
from ggez_hub.embedded.http.xet_access import cas_url
from ggez_hub.embedded.lfs import CHUNK, Pointer
from ggez_hub.embedded.repository import GitRepository

PAGE: Final = 1000
EXPANDED_PAGE: Final = 50
COMMITS: Final = 100
MAX_PATHS: Final = 1000

_XET_INFO: Final = "application/vnd.xet-fileinfo+json"
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
# A stored page must not run as a page of the hub in somebody's browser.
_INERT: Final = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


async def tree(request: Request) -> Response:
    """GET /api/models/{id}/tree/{revision}[/{path}]."""
    expand = flag(request, "expand")
    return await _in_thread(_tree, request, expand, expand=expand)


async def _in_thread(
    work: Callable[..., Response], request: Request, *arguments: Any, expand: bool
) -> Response:
    """Answer in a thread; who asks for last commits waits for the others who do, and keeps none waiting."""
    limiter = request.app.state.expanding if expand else None
    return await to_thread.run_sync(work, request, *arguments, limiter=limiter)


def _tree(request: Request, expand: bool) -> Response:
    repo = access.readable(request)
    path = request.path_params.get("path", "").strip("/")
    with access.store(request).git(repo) as git:
        snapshot = git.snapshot(request.path_params["revision"])
        request.state.commit = snapshot.commit
        entries = snapshot.listing(path, recursive=flag(request, "recursive"))
        chosen, headers = page(request, entries, EXPANDED_PAGE if expand else PAGE)
        document = _entries(request, git, snapshot.commit, chosen, expand=expand)
    return JSONResponse(document, headers=headers)


async def paths_info(request: Request) -> Response:
    """POST /api/models/{id}/paths-info/{revision}: paths that do not exist are left out."""
    form = await read_form(request)
    expand = form.get("expand", [""])[0].lower() in {"true", "1"}
    return await _in_thread(_paths_info, request, form, expand, expand=expand)


def _paths_info(request: Request, form: dict[str, list[str]], expand: bool) -> Response:
    repo = access.readable(request)
    paths = form.get("paths", [])
    if len(paths) > MAX_PATHS:
        raise TooLargeError(f"too many parameters: ask for at most {MAX_PATHS} paths at once")
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
        found = first_parents(git.objects, start)
        chosen, headers = page(request, found, COMMITS)
        document = [
            _commit(git.objects.commit(link.commit), formatted=formatted) for link in chosen
        ]
    return JSONResponse(document, headers={**headers, "X-Total-Count": str(len(found))})


def _entries(
    request: Request, git: GitRepository, commit: str, entries: Sequence[Entry], *, expand: bool
) -> list[dict[str, Any]]:
    changed = last_changes(git.objects, commit) if expand else {}
    large = (entry.lfs.oid for entry in entries if entry.lfs is not None)
    hashes = access.store(request).xet.catalog.hashes(large)
    last = {
        entry.path: git.objects.commit(changed[entry.path])
        for entry in entries
        if entry.path in changed
    }
    return [_entry(entry, hashes, last.get(entry.path)) for entry in entries]


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


class _CompleteFileResponse(LargeFileResponse):
    """A large file from its first byte to the last, whatever range was asked for."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [header for header in scope["headers"] if header[0] != b"range"]
        await super().__call__({**scope, "headers": headers}, receive, send)


def large_file(request: Request, pointer: Pointer, headers: dict[str, str]) -> Response:
    """The answer with a large file, stored as it is or in chunks."""
    store = access.store(request)
    path = store.lfs.path(pointer.oid)
    file = None if path.exists() else store.xet.catalog.file(pointer.oid)
    if file is None and not path.exists():
        # An old commit is found by its id until git's own objects are removed.
        raise EntryNotFoundError("This file belongs to no branch or tag, and was removed")
    wanted = requested_range(request, pointer.size, headers.get("ETag"))
    if file is None:
        return (_CompleteFileResponse if wanted is None else LargeFileResponse)(path, headers)
    status, headers, wanted = _status(wanted, file.size, headers)
    headers["Content-Length"] = str(len(wanted))
    blocks = store.xet.content(file, wanted.start, wanted.stop)
    if request.method == "HEAD":
        blocks = iter(())
    return StreamingResponse(blocks, status, headers, "application/octet-stream")


def resolve(request: Request) -> Response:
    """HEAD and GET /{id}/resolve/{revision}/{path}."""
    return _file(request, raw=False)


def raw(request: Request) -> Response:
    """HEAD and GET /{id}/raw/{revision}/{path}: what git holds, of a large file the pointer."""
    return _file(request, raw=True)


def _file(request: Request, *, raw: bool) -> Response:
    repo = access.content(request)
    with access.store(request).git(repo) as git:
        snapshot = git.snapshot(request.path_params["revision"])
        request.state.commit = snapshot.commit
        entry = snapshot.file(request.path_params["path"])
        access.store(request).catalog.refuse_purged([entry.oid, entry.lfs.oid if entry.lfs else ""])
        if raw:
            entry = replace(entry, lfs=None)
        if entry.lfs and not access.store(request).catalog.linked(repo, [entry.lfs.oid]):
            # Another repo may hold the same.
            raise EntryNotFoundError("This file was removed from the repo")
        headers = {"X-Repo-Commit": snapshot.commit}
        return file_answer(request, repo, entry, headers, lambda: snapshot.read(entry))


def file_answer(
    request: Request,
    repo: RepoRecord,
    entry: Entry,
    headers: dict[str, str],
    read: Callable[[], bytes],
) -> Response:
    """The answer with a file of a repo, of which `read` returns the content where it is not a large one.

    `headers` has the commit, if there is one.
    """
    headers |= _headers(entry)
    if flag(request, "download"):
        headers["Content-Disposition"] = headers["Content-Disposition"].replace(
            "inline", "attachment"
        )
    xet = {}
    if entry.lfs is not None:
        xet = _xet_headers(request, repo, headers.get("X-Repo-Commit"), entry.lfs)
        headers |= xet
    if xet and _XET_INFO in request.headers.get("accept", ""):
        # The JavaScript client wants to know where the file is, and not the file.
        return JSONResponse({"hash": xet["X-Xet-Hash"]}, headers=headers, media_type=_XET_INFO)
    known = request.headers.get("if-none-match", "")
    if headers["ETag"] in known.replace("W/", "").split(", ") or known == "*":
        return Response(status_code=304, headers=headers)
    if entry.lfs is not None:
        return large_file(request, entry.lfs, headers)
    content = read()
    wanted = requested_range(request, len(content), headers["ETag"])
    status, headers, wanted = _status(wanted, len(content), headers)
    media_type = "text/plain; charset=utf-8"
    return Response(content[wanted.start : wanted.stop], status, headers, media_type)


def _headers(entry: Entry) -> dict[str, str]:
    name = entry.path.rpartition("/")[2]
    etag = f'"{entry.lfs.oid if entry.lfs else entry.oid}"'
    headers = {
        **_INERT,
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(name, safe='')}",
    }
    if entry.lfs is not None:
        headers |= {"X-Linked-Etag": etag, "X-Linked-Size": str(entry.size)}
    return headers


def _xet_headers(
    request: Request, repo: RepoRecord, commit: str | None, pointer: Pointer
) -> dict[str, str]:
    """Where a client that speaks Xet gets the file, if it came by Xet."""
    digest = access.store(request).xet.catalog.hashes([pointer.oid]).get(pointer.oid)
    if digest is None:
        return {}
    address = f"{request.base_url}api/{repo.type}s/{repo.id}/xet-read-token"
    if commit is not None:
        address += f"/{commit}"
    info = f"{cas_url(request, repo)}/v1/reconstructions/{digest}"
    links = f'<{address}>; rel="xet-auth", <{info}>; rel="xet-reconstruction-info"'
    return {"X-Xet-Hash": digest, "Link": links}


def requested_range(request: Request, size: int, etag: str | None = None) -> range | None:
    """The bytes that a request asks for (RFC 9110, one range); None for all, empty if outside.

    A range that is not understood is ignored, as the RFC allows, and one of another version.
    """
    wanted, version = request.headers.get("range", ""), request.headers.get("if-range", etag)
    match = _RANGE.fullmatch(wanted.strip()) if version == etag else None
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        start = int(match[1])
        end = int(match[2]) + 1 if match[2] else max(size, start + 1)
        return range(start, min(end, size)) if start < end else None
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
    Route(f"{WEB}/raw/{REVISION}/{REST}", raw, methods=["GET", "HEAD"]),
]
