"""Downloads by the Xet protocol: what files are made of, and ranges of xorbs at signed addresses.

https://huggingface.co/docs/xet/download-protocol
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.errors import (
    EntryNotFoundError,
    HubError,
    InvalidRequestError,
    PermissionDeniedError,
    TooLargeError,
)
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.file_routes import LargeFileResponse, requested_range
from ggez_hub.embedded.http.parameters import API, REVISION
from ggez_hub.embedded.http.xet_access import CAS, Caller, caller, connection
from ggez_hub.embedded.xet.hashing import from_hex, to_hex
from ggez_hub.embedded.xet.shard import FileInfo
from ggez_hub.embedded.xet.storage import Piece

_MOST_FILES: Final = 1000


class Fetch(NamedTuple):
    """Where a client gets chunks `start` to before `end` of a xorb: bytes `first` to `last` of `url`."""

    start: int
    end: int
    url: str
    first: int
    last: int


def read_token(request: Request) -> Response:
    """GET /api/models/{id}/xet-read-token/{revision}."""
    repo = access.content(request)
    with access.store(request).git(repo) as git:
        git.refs.resolve(request.path_params["revision"])
    return connection(request, repo, access.caller(request), "read")


def reconstruction(request: Request) -> Response:
    """GET {cas}/v1/reconstructions/{file}, of a range of the file if a `Range` asks for it."""
    document, fetches = _reconstruction(request)
    return JSONResponse({**document, "fetch_info": _by_range(fetches)})


def reconstruction_by_xorb(request: Request) -> Response:
    """GET {cas}/v2/reconstructions/{file}: the same in another form."""
    document, fetches = _reconstruction(request)
    xorbs = {
        name: [
            {
                "url": part.url,
                "ranges": [
                    {"chunks": _span(part.start, part.end), "bytes": _span(part.first, part.last)}
                ],
            }
            for part in parts
        ]
        for name, parts in fetches.items()
    }
    return JSONResponse({**document, "xorbs": xorbs})


def reconstructions(request: Request) -> Response:
    """GET {cas}/v1/reconstructions?file_id=...: of several files."""
    who = caller(request, "read")
    names = request.query_params.getlist("file_id")
    if len(names) > _MOST_FILES:
        raise TooLargeError(f"Ask for at most {_MOST_FILES} files at once")
    files = {name: _held(who, name) for name in names}
    pieces = {name: list(who.store.xet.pieces(file, 0, file.size)) for name, file in files.items()}
    fetches = _fetches(request, who, [piece for parts in pieces.values() for piece in parts])
    terms = {name: list(map(_term, parts)) for name, parts in pieces.items()}
    return JSONResponse({"files": terms, "fetch_info": _by_range(fetches)})


def _reconstruction(request: Request) -> tuple[dict[str, Any], dict[str, list[Fetch]]]:
    who = caller(request, "read")
    file = _held(who, request.path_params["hash"])
    wanted = requested_range(request, file.size)
    if wanted is None:
        wanted = range(file.size)
    if not wanted:
        raise HubError("The range is not in the file", 416)
    pieces = list(who.store.xet.pieces(file, wanted.start, wanted.stop))
    document = {
        "offset_into_first_range": wanted.start - pieces[0].offset,
        "terms": list(map(_term, pieces)),
    }
    return document, _fetches(request, who, pieces)


def _held(who: Caller, name: str) -> FileInfo:
    file = who.store.xet.catalog.held(who.repo, to_hex(from_hex(name)))
    if file is None:
        raise EntryNotFoundError("The repo holds no such file")
    return file


def _term(piece: Piece) -> dict[str, Any]:
    size = piece.places.unpacked(piece.end) - piece.places.unpacked(piece.start)
    span = _span(piece.start, piece.end)
    return {"hash": to_hex(piece.xorb), "unpacked_length": size, "range": span}


def _fetches(request: Request, who: Caller, pieces: Iterable[Piece]) -> dict[str, list[Fetch]]:
    """The addresses for pieces; chunks that overlap or follow each other have one address."""
    merged: dict[bytes, list[Piece]] = {}
    for piece in sorted(pieces, key=lambda piece: (piece.xorb, piece.start)):
        parts = merged.setdefault(piece.xorb, [])
        if parts and piece.start <= parts[-1].end:
            parts[-1] = parts[-1]._replace(end=max(parts[-1].end, piece.end))
        else:
            parts.append(piece)
    return {
        to_hex(xorb): [_fetch(request, who, piece) for piece in parts]
        for xorb, parts in merged.items()
    }


def _fetch(request: Request, who: Caller, piece: Piece) -> Fetch:
    first, last = piece.places.packed(piece.start), piece.places.packed(piece.end) - 1
    name, span = to_hex(piece.xorb), f"bytes={first}-{last}"
    query = who.store.signer.sign("xorb", who.repo.key, name, span)
    url = f"{request.base_url}xet/{who.repo.key}/xorbs/{name}?{urlencode({'range': span} | query)}"
    return Fetch(piece.start, piece.end, url, first, last)


def _by_range(fetches: dict[str, list[Fetch]]) -> dict[str, list[dict[str, Any]]]:
    return {
        name: [
            {
                "range": _span(part.start, part.end),
                "url": part.url,
                "url_range": _span(part.first, part.last),
            }
            for part in parts
        ]
        for name, parts in fetches.items()
    }


def _span(start: int, end: int) -> dict[str, int]:
    return {"start": start, "end": end}


def xorb_range(request: Request) -> Response:
    """GET /xet/{repo}/xorbs/{hash}: part of a xorb; the address carries the permission."""
    params, query = request.path_params, request.query_params
    span, expires = query.get("range", ""), query.get("expires", "")
    store = access.store(request)
    if not (params["repo"].isdecimal() and expires.isdecimal()):
        raise InvalidRequestError("this is not an address of this hub")
    store.signer.check(
        *("xorb", params["repo"], params["hash"], span),
        expires=int(expires),
        signature=query.get("signature", ""),
    )
    if request.headers.get("range") != span:
        raise PermissionDeniedError("This address is for one range, which a header must ask for")
    path = store.xet.path(from_hex(params["hash"]))
    if store.catalog.by_key(int(params["repo"])) is None or not path.exists():
        raise EntryNotFoundError("This repo does not hold that xorb any longer")
    return LargeFileResponse(path)


routes = [
    Route(f"{API}/xet-read-token/{REVISION}", read_token, methods=["GET"]),
    Route("/xet/{repo:hub_segment}/xorbs/{hash:hub_segment}", xorb_range, methods=["GET"]),
    Route(f"{CAS}/v1/reconstructions", reconstructions, methods=["GET"]),
    Route(f"{CAS}/v1/reconstructions/{{hash:hub_segment}}", reconstruction, methods=["GET"]),
    Route(
        f"{CAS}/v2/reconstructions/{{hash:hub_segment}}", reconstruction_by_xorb, methods=["GET"]
    ),
]
