"""The pages of collections and buckets, whose addresses clients print."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ggez_hub.embedded.buckets import BucketFolder
from ggez_hub.embedded.errors import EntryNotFoundError
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.collection_routes import document, visible
from ggez_hub.embedded.http.pages.page import page, render, size_text
from ggez_hub.embedded.names import URL_PREFIXES

MOST_ENTRIES: Final = 1000
_BUCKET: Final = "/{kind:hub_bucket}/{namespace:hub_segment}/{name:hub_segment}"


def collection(request: Request) -> Response:
    """GET /collections/{slug}: its items, with notes."""
    shown = document(request, visible(request))
    prefixes: dict[str, str] = {"collection": "collections/"}
    prefixes |= {str(kind): prefix for kind, prefix in URL_PREFIXES.items()}
    rows = [
        (
            item["title"] if item["type"] == "collection" else item["id"],
            f"/{prefixes[item['type']]}{item.get('slug', item['id'])}"
            if item["type"] in prefixes
            else "",
            item["type"],
            item["note"]["text"] if "note" in item else "",
        )
        for item in shown["items"]
    ]
    about = f"{shown.get('description', '')} A collection of {shown['owner']['name']}".strip()
    return render("list", shown["title"], about=about, rows=rows)


def bucket(request: Request) -> Response:
    """GET /buckets/{id}[/tree/{path}]: the files and folders in a folder, the first of them."""
    repo = access.readable(request)
    folder = request.path_params.get("path", "").strip("/")
    prefix = f"{folder}/" if folder else ""
    entries = list(access.store(request).buckets.entries(repo, prefix, "", MOST_ENTRIES + 1))
    if folder and not entries:
        raise EntryNotFoundError(f"Entry not found: {folder[:200]}")
    rows = [
        (f"{name}/", f"/{repo.url_path}/tree/{quote(entry.path)}", "", "")
        if isinstance(entry, BucketFolder)
        else (name, f"/{repo.url_path}/resolve/{quote(entry.path)}", size_text(entry.size), "")
        for entry in entries[:MOST_ENTRIES]
        for name in [entry.path.removeprefix(prefix)]
    ]
    more = f", the first {MOST_ENTRIES}" if len(entries) > MOST_ENTRIES else ""
    about = f"{'Private bucket' if repo.private else 'Bucket'}: {folder or 'files'}{more}"
    return render("list", repo.id, about=about, rows=rows)


routes = [
    Route("/collections/{owner:hub_segment}/{slug:hub_segment}", page(collection), methods=["GET"]),
    Route(_BUCKET, page(bucket), methods=["GET"]),
    Route(f"{_BUCKET}/tree/{{path:hub_rest}}", page(bucket), methods=["GET"]),
]
