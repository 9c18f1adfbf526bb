"""The files of a revision, and the commits that led to it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.commits import CommitRecord, Entry, ancestry, last_changes, record
from ggez_hub.embedded.errors import TooLargeError
from ggez_hub.embedded.http import access, body
from ggez_hub.embedded.http.info_routes import timestamp
from ggez_hub.embedded.http.pagination import flag, page
from ggez_hub.embedded.http.path_parameters import API, REST, REVISION
from ggez_hub.embedded.repository import GitRepository

PAGE: Final = 1000
EXPANDED_PAGE: Final = 50
MAX_PATHS: Final = 1000


def tree(request: Request) -> Response:
    """GET /api/models/{id}/tree/{revision}[/{path}]."""
    repo = access.readable(request)
    path = request.path_params.get("path", "").strip("/")
    expand = flag(request, "expand")
    with access.store(request).git(repo) as git:
        snapshot = git.snapshot(request.path_params["revision"])
        request.state.commit = snapshot.commit
        entries = list(snapshot.listing(path, recursive=flag(request, "recursive")))
        chosen, headers = page(request, entries, EXPANDED_PAGE if expand else PAGE)
        document = _entries(git, snapshot.commit, chosen, expand=expand)
    return JSONResponse(document, headers=headers)


async def paths_info(request: Request) -> Response:
    """POST /api/models/{id}/paths-info/{revision}: paths that do not exist are left out."""
    form = await body.read_form(request, access.limits(request).json_body)
    return await run_in_threadpool(_paths_info, request, form)


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
        records = [record(commit) for commit in ancestry(git.objects, start)]
    chosen, headers = page(request, records, PAGE)
    document = [_commit(item, formatted=formatted) for item in chosen]
    return JSONResponse(document, headers={**headers, "X-Total-Count": str(len(records))})


def _entries(
    git: GitRepository, commit: str, entries: Sequence[Entry], *, expand: bool
) -> list[dict[str, Any]]:
    changes = last_changes(git.objects, commit, [entry.path for entry in entries]) if expand else {}
    return [_entry(entry, changes.get(entry.path)) for entry in entries]


def _entry(entry: Entry, last: CommitRecord | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "type": "directory" if entry.is_folder else "file",
        "oid": entry.oid,
        "size": entry.size,
        "path": entry.path,
    }
    if entry.lfs is not None:
        document["lfs"] = {
            "oid": entry.lfs.oid,
            "size": entry.lfs.size,
            "pointerSize": entry.pointer_size,
        }
    if last is not None:
        document["lastCommit"] = {
            "id": last.oid,
            "title": last.title,
            "date": timestamp(last.date),
        }
    return document


def _commit(item: CommitRecord, *, formatted: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": item.oid,
        "title": item.title,
        "message": item.message,
        "authors": [{"user": item.author}],
        "date": timestamp(item.date),
    }
    if formatted:
        document["formatted"] = {
            "title": html.escape(item.title),
            "message": html.escape(item.message),
        }
    return document


routes = [
    Route(f"{API}/tree/{REVISION}", tree, methods=["GET"]),
    Route(f"{API}/tree/{REVISION}/{REST}", tree, methods=["GET"]),
    Route(f"{API}/paths-info/{REVISION}", paths_info, methods=["POST"]),
    Route(f"{API}/commits/{REVISION}", commits, methods=["GET"]),
]
