"""`git clone` and `git fetch` over HTTP; nothing can be pushed."""

from __future__ import annotations

import zlib

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ggez_hub.embedded.errors import InvalidRequestError, PermissionDeniedError, TooLargeError
from ggez_hub.embedded.http import access, body
from ggez_hub.embedded.http.path_parameters import WEB
from ggez_hub.embedded.upload_pack import SERVICE, advertisement, answer

_FRESH = {"Cache-Control": "no-cache, max-age=0, must-revalidate"}


def info_refs(request: Request) -> Response:
    """GET /{id}[.git]/info/refs?service=git-upload-pack."""
    repo = access.content(request)
    if request.query_params.get("service") != SERVICE:
        raise PermissionDeniedError("Only git-upload-pack is served here: commit over the API")
    return Response(
        advertisement(access.store(request).folder(repo)),
        headers=_FRESH,
        media_type=f"application/x-{SERVICE}-advertisement",
    )


async def upload_pack(request: Request) -> Response:
    """POST /{id}[.git]/git-upload-pack."""
    repo = await run_in_threadpool(access.content, request)
    limit = access.limits(request).json_body
    wanted = await body.read(request, limit)
    if request.headers.get("content-encoding") == "gzip":
        wanted = _gunzip(wanted, limit)
    path = access.store(request).folder(repo)
    blocks = await run_in_threadpool(answer, path, wanted)
    return StreamingResponse(blocks, headers=_FRESH, media_type=f"application/x-{SERVICE}-result")


def receive_pack(request: Request) -> Response:
    """POST /{id}[.git]/git-receive-pack."""
    access.content(request)
    raise PermissionDeniedError("This hub takes no pushes: commit over the API")


def _gunzip(data: bytes, limit: int) -> bytes:
    unzip = zlib.decompressobj(wbits=31)
    try:
        plain = unzip.decompress(data, limit)
    except zlib.error as error:
        raise InvalidRequestError("The body is not gzip") from error
    if unzip.unconsumed_tail:
        raise TooLargeError(f"The body is larger than {limit} bytes")
    return plain


routes = [
    Route(f"{WEB}{suffix}{path}", endpoint, methods=[method])
    for suffix in (".git", "")
    for path, endpoint, method in (
        ("/info/refs", info_refs, "GET"),
        (f"/{SERVICE}", upload_pack, "POST"),
        ("/git-receive-pack", receive_pack, "POST"),
    )
]
