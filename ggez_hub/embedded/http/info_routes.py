"""What is known of a repo, and the lists of repos."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.commits import Entry, Snapshot
from ggez_hub.embedded.errors import InvalidRequestError
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.file_routes import lfs_document
from ggez_hub.embedded.http.parameters import API, REVISION, flag, next_page, timestamp, window
from ggez_hub.embedded.listing_index import SORT_KEYS, ListedRepo, RepoQuery, Summary
from ggez_hub.embedded.names import REPO_TYPES, repo_type

PAGE: Final = 1000
MOST_OWNED: Final = 10_000
MAX_CONDITIONS: Final = 32
# fmt: off
_LISTED: Final = frozenset({
    "author", "createdAt", "downloads", "gated", "lastModified", "library_name", "likes",
    "pipeline_tag", "private", "sdk", "sha", "tags",
})
# fmt: on
# What the Hub filters by and this hub does not know of its repos.
_NOT_KNOWN: Final = frozenset({"apps", "inference", "inference_provider", "num_parameters"})
_ALWAYS: Final = frozenset({"_id", "id", "modelId"})


def info(request: Request) -> Response:
    """GET /api/models/{id}[/revision/{revision}]."""
    repo = access.readable(request)
    store = access.store(request)
    with store.git(repo) as git:
        summary = store.summary(repo, git, request.path_params.get("revision"))
        document = _document(ListedRepo(repo, summary))
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
    wanted = _expand(request)
    if not wanted:
        wanted = {*_LISTED} | {key for key in ("cardData", "config") if flag(request, key)}
        if flag(request, "full"):
            wanted |= {"siblings"} | (
                set() if request.path_params["kind"] == "model" else {"cardData"}
            )
    start, size = window(request, PAGE)
    query = _query(request, with_files="siblings" in wanted)
    items = access.store(request).listing(query, start, size + 1)
    headers = next_page(request, start + size) if 0 < size < len(items) else {}
    return JSONResponse([_only(_document(item), wanted) for item in items[:size]], headers=headers)


def storage(request: Request) -> Response:
    """GET /api/settings/repositories, or of an organisation: its repos of all types, and what they take."""
    principal = access.known_caller(request)
    store, owner = access.store(request), request.path_params.get("owner", principal.name)
    found = [
        (item, store.catalog.used_storage(item.repo))
        for kind in REPO_TYPES
        for item in store.listing(
            RepoQuery(kind=kind, visible=principal.namespaces, author=owner), 0, MOST_OWNED
        )
    ]
    total = sum(size for _, size in found)
    document = [
        {
            "id": item.repo.id,
            "type": item.repo.type,
            "updatedAt": timestamp(
                item.summary.last_modified if item.summary else item.repo.created
            ),
            "visibility": "private" if item.repo.private else "public",
            "storage": size,
            "storagePercent": 100 * size / total if total else 0,
        }
        for item, size in found
    ]
    return JSONResponse(document)


def _query(request: Request, *, with_files: bool) -> RepoQuery:
    params = request.query_params
    principal = access.caller(request)
    sort = params.get("sort")
    if sort is not None and sort not in SORT_KEYS:
        raise InvalidRequestError(f"cannot sort by {sort!r}: use one of {', '.join(SORT_KEYS)}")
    unknown = sorted(_NOT_KNOWN & params.keys())
    if unknown:
        raise InvalidRequestError(f"This hub cannot filter by {', '.join(unknown)}", 501)
    tags = {tag for value in params.getlist("filter") for tag in value.split(",") if tag}
    words = params.get("search", "").split()
    if len(tags) + len(words) > MAX_CONDITIONS:
        raise InvalidRequestError(f"at most {MAX_CONDITIONS} tags and words can be searched for")
    return RepoQuery(
        kind=repo_type(request.path_params["kind"]),
        visible=() if principal is None else principal.namespaces,
        author=params.get("author") or None,
        words=words,
        tags=sorted(tags),
        pipeline_tag=params.get("pipeline_tag") or None,
        gated=flag(request, "gated") if "gated" in params else None,
        sort=sort,
        ascending=params.get("direction") == "1",
        with_files=with_files,
    )


def _document(item: ListedRepo) -> dict[str, Any]:
    """All that the hub knows of a repo, under the names of the Hub's API."""
    repo, summary = item.repo, item.summary
    document: dict[str, Any] = {
        "_id": str(repo.key),
        "id": repo.id,
        "author": repo.namespace,
        "sha": None,
        "createdAt": timestamp(repo.created),
        "private": repo.private,
        "gated": repo.gated or False,
        "disabled": False,
        "downloads": 0,
        "downloadsAllTime": 0,
        "likes": 0,
        "tags": summary.tags if summary else [],
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
    sibling: dict[str, Any] = {"rfilename": entry.path, "blobId": entry.oid, "size": entry.size}
    return sibling | ({"lfs": lfs_document("sha256", entry.lfs)} if entry.lfs else {})


def _expand(request: Request) -> set[str]:
    query = request.query_params
    return {*query.getlist("expand"), *query.getlist("expand[]")}


def _only(document: dict[str, Any], wanted: set[str]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key in wanted or key in _ALWAYS}


routes = [
    Route("/api/{kind:hub_kind}", listing, methods=["GET"]),
    Route("/api/settings/repositories", storage, methods=["GET"]),
    Route("/api/organizations/{owner:hub_segment}/settings/repositories", storage, methods=["GET"]),
    Route(API, info, methods=["GET"]),
    Route(f"{API}/revision/{REVISION}", info, methods=["GET"]),
]
