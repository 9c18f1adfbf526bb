"""The large files of a repo: what there is, and removing it from the history."""

from __future__ import annotations

from typing import Any, Final

from anyio import to_thread
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded import large_files
from ggez_hub.embedded.catalog import Held
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.body import Body, Sha256, takes
from ggez_hub.embedded.http.parameters import API, page, timestamp
from ggez_hub.embedded.large_files import Mention

# The history is read for each page.
PAGE: Final = 5000
MOST_REMOVED: Final = 1000


async def listing(request: Request) -> Response:
    """GET /api/models/{id}/lfs-files: large files, largest first; those of no commit yet have no name."""
    return await to_thread.run_sync(_listing, request, limiter=request.app.state.expanding)


def _listing(request: Request) -> Response:
    granted = access.writable(request)
    with granted.git() as git:
        named = {mention.oid: mention for mention in large_files.mentions(git).values()}
    chosen, headers = page(request, granted.store.catalog.held(granted.repo), PAGE)
    return JSONResponse([_document(held, named.get(held.oid)) for held in chosen], headers=headers)


def _document(held: Held, mention: Mention | None) -> dict[str, Any]:
    return {
        "fileOid": held.oid,
        "oid": held.oid,
        "size": held.size,
        "filename": mention.path if mention else "",
        "ref": mention.ref if mention else None,
        "pushedAt": timestamp(mention.date if mention else held.used),
    }


class _Deletions(Body):
    sha: list[Sha256] = Field(max_length=MOST_REMOVED)
    rewriteHistory: bool = True  # noqa: N815 - as the Hub spells it


class _Batch(Body):
    deletions: _Deletions


@takes(_Batch, access.writable, long=True)
def batch(request: Request, granted: access.Granted, data: _Batch) -> Response:
    """POST /api/models/{id}/lfs-files/batch {deletions: {sha, rewriteHistory}}."""
    asked = data.deletions
    large_files.remove(
        granted.store, granted.repo, set(asked.sha), rewrite_history=asked.rewriteHistory
    )
    return JSONResponse({"success": True})


routes = [
    Route(f"{API}/lfs-files", listing, methods=["GET"]),
    Route(f"{API}/lfs-files/batch", batch, methods=["POST"]),
]
