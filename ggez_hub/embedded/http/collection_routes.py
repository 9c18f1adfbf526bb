"""Collections: `/api/collections`, as huggingface_hub and @huggingface/hub use them."""

from __future__ import annotations

import html
import re
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.access_control import Principal, require_write
from ggez_hub.embedded.collections import (
    SORTS,
    Collection,
    Collections,
    Item,
    Query,
    Target,
    Theme,
    TitleTakenError,
)
from ggez_hub.embedded.errors import (
    CollectionNotFoundError,
    EntryNotFoundError,
    HubError,
    InvalidRequestError,
)
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.body import Body, takes
from ggez_hub.embedded.http.parameters import next_page, timestamp, window
from ggez_hub.embedded.names import ALL_TYPES, RepoType

PAGE: Final = 100
# As the Hub does in lists.
SHOWN_ITEMS: Final = 4
MAX_CONDITIONS: Final = 32

_PAPER: Final = re.compile(r"[0-9]{4}\.[0-9]{4,5}")
_KINDS: Final = {f"{kind}s": kind for kind in (*ALL_TYPES, "paper", "collection")}

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)]
Description = Annotated[str, StringConstraints(max_length=150)]
Note = Annotated[str, StringConstraints(max_length=500)]
Position = Annotated[int, Field(ge=0, lt=1 << 31)]


class Granted(NamedTuple):
    """A collection that the caller may change."""

    collections: Collections
    collection: Collection
    principal: Principal


def visible(request: Request) -> Collection:
    """The collection of the request's path; raises CollectionNotFoundError."""
    params = request.path_params
    slug = f"{params['owner']}/{params['slug']}"
    return access.store(request).collections.get(slug, access.caller(request))


def _writable(request: Request) -> Granted:
    """The collection of the request's path, and who is about to change it.

    Raises CollectionNotFoundError, AuthenticationError, PermissionDeniedError.
    """
    collection = visible(request)
    principal = access.known_caller(request)
    require_write(principal, collection.owner_name)
    return Granted(access.store(request).collections, collection, principal)


def listing(request: Request) -> Response:
    """GET /api/collections[?owner=&item=&q=&sort=&limit=]: with the first items of each."""
    params = request.query_params
    sort = params.get("sort") or None
    if sort is not None and sort not in SORTS:
        raise InvalidRequestError(f"cannot sort by {sort!r}: use one of {', '.join(SORTS)}")
    owners, items = params.getlist("owner"), params.getlist("item")
    if len(owners) + len(items) > MAX_CONDITIONS:
        raise InvalidRequestError(f"at most {MAX_CONDITIONS} owners and items can be asked for")
    query = Query(
        tuple(owners),
        tuple(_asked_for(request, items)) if items else None,
        params.get("q", ""),
        sort,
    )
    start, size = window(request, PAGE)
    found = access.store(request).collections.search(query, access.caller(request), start, size + 1)
    headers = next_page(request, start + size) if 0 < size < len(found) else {}
    documents = [document(request, each, SHOWN_ITEMS) for each in found[:size]]
    return JSONResponse(documents, headers=headers)


def _asked_for(request: Request, items: list[str]) -> list[tuple[Target, int | str]]:
    """The things that the caller may see, of those named as `models/org/name` or `papers/ID`."""
    found = []
    for item in items:
        kind, _, identity = item.partition("/")
        try:
            found.append(_target(request, _KINDS.get(kind, "model"), identity))
        except (InvalidRequestError, EntryNotFoundError, CollectionNotFoundError):
            continue
    return found


def _target(request: Request, kind: str, identity: str) -> tuple[Target, int | str]:
    """What an item names, if the caller may see it; raises HubError with 404 or 400."""
    if kind == "paper":
        if not _PAPER.fullmatch(identity):
            raise InvalidRequestError("the id of a paper is that of arXiv, as 2310.06825")
        return "paper", identity
    if kind == "collection":
        collections = access.store(request).collections
        return "nested", collections.get(identity, access.caller(request)).key
    try:
        return "repo", access.find(request, kind, identity).key
    except HubError as error:
        # Of whichever collection is asked for, it was found.
        raise EntryNotFoundError(f"There is no {kind} {identity[:200]}") from error


def info(request: Request) -> Response:
    """GET /api/collections/{slug}."""
    return JSONResponse(document(request, visible(request)))


class _New(Body):
    title: Title
    namespace: str | None = None
    description: Description | None = None
    private: bool = False
    resourceGroupId: None = None  # noqa: N815 - as the Hub spells it


@takes(_New, access.known_caller)
def create(request: Request, principal: Principal, data: _New) -> Response:
    """POST /api/collections {title, namespace, description, private}."""
    owner = data.namespace or principal.name
    require_write(principal, owner)
    store = access.store(request)
    if not store.accounts.exists(owner):
        raise InvalidRequestError(f"there is no user or organisation {owner[:100]!r}")
    try:
        made = store.collections.add(
            owner, data.title, description=data.description, private=data.private
        )
    except TitleTakenError as error:
        # The client reads the slug from this answer when it was told `exists_ok`.
        return JSONResponse({"error": error.message, "slug": error.slug}, error.status)
    return JSONResponse(document(request, made))


class _Changes(Body):
    title: Title | None = None
    description: Description | None = None
    private: bool | None = None
    theme: Theme | None = None
    position: Position | None = None


@takes(_Changes, _writable)
def update(request: Request, granted: Granted, data: _Changes) -> Response:
    """PATCH /api/collections/{slug}: what is given changes."""
    changes = data.model_dump(exclude_none=True, exclude={"position"})
    if data.description == "":
        changes["description"] = None
    granted.collections.update(granted.collection, changes)
    if data.position is not None:
        granted.collections.place(granted.collection, data.position)
    now = granted.collections.by_key(granted.collection.key)
    return JSONResponse({"success": True, "data": document(request, now)})


def delete(request: Request) -> Response:
    """DELETE /api/collections/{slug}."""
    granted = _writable(request)
    granted.collections.remove(granted.collection)
    return JSONResponse({"success": True})


class _Named(Body):
    id: str
    type: RepoType | Literal["paper", "collection"]


class _NewItem(Body):
    item: _Named
    note: Note | None = None


@takes(_NewItem, _writable)
def add_item(request: Request, granted: Granted, data: _NewItem) -> Response:
    """POST /api/collections/{slug}/items {item: {id, type}, note}."""
    target, value = _target(request, data.item.type, data.item.id)
    granted.collections.add_item(granted.collection, target, value, data.note)
    return JSONResponse(document(request, granted.collections.by_key(granted.collection.key)))


class _ItemChanges(Body):
    note: Note | None = None
    position: Position | None = None


@takes(_ItemChanges, _writable)
def update_item(request: Request, granted: Granted, data: _ItemChanges) -> Response:
    """PATCH /api/collections/{slug}/items/{id} {note, position}."""
    identity = request.path_params["item"]
    granted.collections.update_item(granted.collection, identity, data.note, data.position)
    return JSONResponse({"success": True})


def delete_item(request: Request) -> Response:
    """DELETE /api/collections/{slug}/items/{id}."""
    granted = _writable(request)
    granted.collections.remove_item(granted.collection, request.path_params["item"])
    return JSONResponse({"success": True})


def document(request: Request, collection: Collection, most: int | None = None) -> dict[str, Any]:
    """A collection as the caller sees it, with at most `most` of its items, as in a list."""
    collections, principal = access.store(request).collections, access.caller(request)
    found = collections.items(collection, principal, *([most] if most else []))
    documents = [_item(request, item) for item in found]
    # By what is seen: gaps would show that there is more.
    items = [
        {**document, "position": position}
        for position, document in enumerate(filter(None, documents))
    ]
    return {
        **_facts(request, collection),
        # huggingface_hub counts those of a list itself.
        **({} if most else {"position": collection.position}),
        "gating": False,
        "private": collection.private,
        "items": items,
    }


def _facts(request: Request, collection: Collection) -> dict[str, Any]:
    """What is shown of a collection, also where it is an item of another."""
    described = {"description": collection.description} if collection.description else {}
    return {
        "slug": collection.slug,
        "title": collection.title,
        **described,
        "owner": {
            "_id": collection.owner_name,
            "name": collection.owner_name,
            "fullname": collection.owner_fullname,
            "type": collection.owner_kind,
            "avatarUrl": "",
        },
        "lastUpdated": timestamp(collection.updated),
        "theme": collection.theme,
        "upvotes": 0,
        "isUpvotedByUser": False,
        "shareUrl": f"{request.base_url}collections/{collection.slug}",
    }


def _item(request: Request, item: Item) -> dict[str, Any] | None:
    """An item as it is shown; None if what it names was removed at this moment."""
    named: dict[str, Any]
    store = access.store(request)
    if item.paper is not None:
        named = {"type": "paper", "id": item.paper, "title": item.paper, "upvotes": 0}
    elif item.nested is not None:
        try:
            nested = store.collections.by_key(item.nested)
        except CollectionNotFoundError:
            return None
        count = store.collections.count(nested, access.caller(request))
        named = {**_facts(request, nested), "type": "collection", "id": nested.id}
        named["numberItems"] = count
    else:
        repo = store.catalog.by_key(item.repo or 0)
        if repo is None:
            return None
        named = {
            "type": repo.type,
            "repoType": repo.type,
            "id": repo.id,
            "author": repo.namespace,
            "private": repo.private,
            "gated": repo.gated or False,
            "lastModified": timestamp(item.modified or repo.created),
            "likes": 0,
            "downloads": 0,
            **({"pipeline_tag": item.pipeline_tag} if item.pipeline_tag else {}),
        }
    note = {"html": html.escape(item.note), "text": item.note} if item.note else None
    return {"_id": item.id, **named, **({"note": note} if note else {})}


_ONE: Final = "/api/collections/{owner:hub_segment}/{slug:hub_segment}"
_ITEM: Final = f"{_ONE}/items/{{item:hub_segment}}"

routes = [
    Route("/api/collections", listing, methods=["GET"]),
    Route("/api/collections", create, methods=["POST"]),
    Route(_ONE, info, methods=["GET"]),
    Route(_ONE, update, methods=["PATCH"]),
    Route(_ONE, delete, methods=["DELETE"]),
    Route(f"{_ONE}/items", add_item, methods=["POST"]),
    Route(_ITEM, update_item, methods=["PATCH"]),
    Route(_ITEM, delete_item, methods=["DELETE"]),
]
