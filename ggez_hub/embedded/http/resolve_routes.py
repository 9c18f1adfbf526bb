"""Downloads: one file at a revision, whole or a range of it."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.commits import Entry
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.path_parameters import REST, REVISION, WEB
from ggez_hub.embedded.lfs import CHUNK

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
# A stored page must not run as a page of the hub in somebody's browser.
_INERT: Final = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


class LargeFileResponse(FileResponse):
    """A file from disk, in chunks that keep up with a local network."""

    chunk_size = CHUNK


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
            path = store.lfs.path(entry.lfs.oid)
            return LargeFileResponse(
                path,
                headers=headers,
                media_type="application/octet-stream",
                stat_result=path.stat(),
            )
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


routes = [Route(f"{WEB}/resolve/{REVISION}/{REST}", resolve, methods=["GET", "HEAD"])]
