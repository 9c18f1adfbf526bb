"""What is known of a repo, and the lists of repos."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.errors import InvalidRequestError
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.paging import flag, page
from ggez_hub.embedded.http.routing import API, REVISION
from ggez_hub.embedded.names import repo_type
from ggez_hub.embedded.snapshot import Entry, Snapshot
from ggez_hub.embedded.summary import Summary

PAGE: Final = 1000
# fmt: off
_LISTED: Final = frozenset({
    "author", "createdAt", "downloads", "gated", "lastModified", "library_name", "likes",
    "pipeline_tag", "private", "sdk", "sha", "tags",
})
# fmt: on
_ALWAYS: Final = frozenset({"_id", "id", "modelId"})


@dataclass(frozen=True, slots=True)
class _Item:
    repo: RepoRecord
    summary: Summary | None

    @property
    def tags(self) -> list[str]:
        return self.summary.tags if self.summary else []


_SORT_KEYS: Final[dict[str, Callable[[_Item], Any]]] = {
    "lastModified": lambda item: item.summary.last_modified if item.summary else 0,
    "createdAt": lambda item: item.repo.created,
    # This hub counts neither; the order is then that of the names.
    "downloads": lambda item: 0,
    "likes": lambda item: 0,
    "trendingScore": lambda item: 0,
}


def info(request: Request) -> Response:
    """GET /api/models/{id}[/revision/{revision}]."""
    repo = access.readable(request)
    store = access.store(request)
    with store.git(repo) as git:
        summary = store.summary(repo, git, request.path_params.get("revision"))
        document = _document(_Item(repo, summary))
        document["usedStorage"] = store.catalog.used_storage(repo)
        if flag(request, "blobs") and summary is not None:
            snapshot = Snapshot(git.objects, summary.sha)
            document["siblings"] = [
                _sibling(entry) for entry in snapshot.listing(recursive=True) if not entry.is_folder
            ]
    wanted = _expand(request)
    return JSONResponse(_only(document, wanted) if wanted else document)


def listing(request: Request) -> Response:
    """GET /api/models: filtered, sorted, and page by page."""
    query = request.query_params
    items = list(_matching(request))
    sort = query.get("sort")
    if sort is not None:
        if sort not in _SORT_KEYS:
            raise InvalidRequestError(
                f"cannot sort by {sort!r}: use one of {', '.join(_SORT_KEYS)}"
            )
        items.sort(key=_SORT_KEYS[sort], reverse=query.get("direction") != "1")
    chosen, headers = page(request, items, PAGE)
    wanted = _expand(request)
    if not wanted:
        wanted = set(_LISTED)
        if flag(request, "full"):
            wanted |= (
                {"siblings", "cardData"} if request.path_params["kind"] != "model" else {"siblings"}
            )
        wanted |= {key for key in ("cardData", "config") if flag(request, key)}
    return JSONResponse([_only(_document(item), wanted) for item in chosen], headers=headers)


def _matching(request: Request) -> Iterator[_Item]:
    query = request.query_params
    store = access.store(request)
    principal = access.caller(request)
    tags = {tag for value in query.getlist("filter") for tag in value.split(",") if tag}
    pipeline = query.get("pipeline_tag")
    words = query.get("search", "").lower().split()
    author = query.get("author") or None
    for repo in store.catalog.every(repo_type(request.path_params["kind"]), author):
        if not access.may_see(principal, repo) or any(
            word not in repo.id.lower() for word in words
        ):
            continue
        with store.git(repo) as git:
            item = _Item(repo, store.summary(repo, git, None))
        if not tags <= set(item.tags):
            continue
        if pipeline and (item.summary is None or item.summary.pipeline_tag != pipeline):
            continue
        yield item


def _document(item: _Item) -> dict[str, Any]:
    """All that the hub knows of a repo, under the names of the Hub's API."""
    repo, summary = item.repo, item.summary
    document: dict[str, Any] = {
        "_id": str(repo.key),
        "id": repo.id,
        "author": repo.namespace,
        "sha": None,
        "createdAt": timestamp(repo.created),
        "private": repo.private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "downloadsAllTime": 0,
        "likes": 0,
        "tags": item.tags,
        "siblings": [],
    }
    if summary is not None:
        document |= {
            "sha": summary.sha,
            "lastModified": timestamp(summary.last_modified),
            "siblings": [{"rfilename": path} for path in summary.files],
        }
        if summary.card:
            document["cardData"] = summary.card
    if repo.type == "model":
        document["modelId"] = repo.id
        document |= _model_fields(summary) if summary else {}
    if repo.type == "space" and summary is not None and "sdk" in summary.card:
        document["sdk"] = summary.card["sdk"]
    return document


def _model_fields(summary: Summary) -> dict[str, Any]:
    fields = {
        "library_name": summary.library_name,
        "pipeline_tag": summary.pipeline_tag,
        "config": summary.config,
        "model-index": summary.card.get("model-index"),
    }
    return {key: value for key, value in fields.items() if value is not None}


def _sibling(entry: Entry) -> dict[str, Any]:
    sibling: dict[str, Any] = {
        "rfilename": entry.path,
        "blobId": entry.oid,
        "size": entry.size,
    }
    if entry.lfs is not None:
        sibling["lfs"] = {
            "sha256": entry.lfs.oid,
            "size": entry.lfs.size,
            "pointerSize": entry.pointer_size,
        }
    return sibling


def _expand(request: Request) -> set[str]:
    query = request.query_params
    return {*query.getlist("expand"), *query.getlist("expand[]")}


def _only(document: dict[str, Any], wanted: set[str]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key in wanted or key in _ALWAYS}


def timestamp(seconds: int) -> str:
    """A moment as the Hub's API writes it."""
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


routes = [
    Route("/api/{kind:hub_kind}", listing, methods=["GET"]),
    Route(API, info, methods=["GET"]),
    Route(f"{API}/revision/{REVISION}", info, methods=["GET"]),
]
