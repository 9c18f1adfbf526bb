"""Uploads by the Xet protocol: xorbs, then shards that say what files are made of.

https://huggingface.co/docs/xet/upload-protocol
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from functools import partial
from typing import Final

from anyio import to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ggez_hub.embedded.errors import (
    EntryNotFoundError,
    HubError,
    QuotaExceededError,
    TooLargeError,
)
from ggez_hub.embedded.http.body import limits, read
from ggez_hub.embedded.http.commit_routes import target
from ggez_hub.embedded.http.parameters import API, REVISION
from ggez_hub.embedded.http.xet_access import CAS, Caller, caller, connection, may_read
from ggez_hub.embedded.store import HubStore
from ggez_hub.embedded.xet.hashing import HASH_BYTES, from_hex, to_hex
from ggez_hub.embedded.xet.shard import MAX_SHARD, Shard, parse, serialize
from ggez_hub.embedded.xet.xorb import MAX_XORB

# For how long a client may refer to xorbs that it was told of.
_OFFER: Final = 7 * 24 * 3600
_MOST_XORBS: Final = 64
# How much of a shard's content is compared between two lines of the answer.
_PROGRESS: Final = 64 << 20


def write_token(request: Request) -> Response:
    """GET /api/models/{id}/xet-write-token/{revision}[?create_pr=1]."""
    granted = target(request)
    granted.store.quotas.check(granted.repo.namespace, 0)
    return connection(request, granted.repo, granted.principal, "write")


async def receive_xorb(request: Request) -> Response:
    """POST {cas}/v1/xorbs/default/{hash}: chunks, checked as they come."""
    work = partial(to_thread.run_sync, limiter=request.app.state.unpacking)
    who = await work(caller, request, "write")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > MAX_XORB:
        raise TooLargeError(f"A xorb is at most {MAX_XORB} bytes")
    digest = from_hex(request.path_params["hash"])
    account = _charged(who)
    size = int(announced) if announced.isdigit() else MAX_XORB
    await work(partial(_check_quota, who.store, account, size, unnamed=True))
    receiving = who.store.xet.receive(who.repo, digest, account)
    incoming = await work(receiving.__enter__)
    try:
        async for part in request.stream():
            await work(incoming.write, part)
    except BaseException as error:
        receiving.__exit__(type(error), error, error.__traceback__)
        raise
    await work(receiving.__exit__, None, None, None)
    return JSONResponse({"was_inserted": True})


def _charged(who: Caller) -> str:
    """Against whom chunks count: against a repo's owner only what their own people send."""
    namespace, principal = who.repo.namespace, who.principal
    return namespace if principal is None or principal.may_write(namespace) else principal.name


def _check_quota(store: HubStore, account: str, more: int, *, unnamed: bool = False) -> None:
    try:
        store.quotas.check(account, more, unnamed=unnamed)
    except QuotaExceededError as error:
        # The client tries again for minutes where a server fails.
        raise QuotaExceededError(error.message, 403) from None


def grant(request: Request) -> Response:
    """POST {cas}/v1/xorb-grants/default/{hash}: 200 for a xorb that need not be sent.

    The others are sent to this hub itself, for which 404 is the answer.
    """
    store, repo, _, _ = caller(request, "write")
    if not store.xet.catalog.use(repo, to_hex(from_hex(request.path_params["hash"]))):
        raise EntryNotFoundError("The repo has no such xorb: send it to /v1/xorbs")
    return JSONResponse({"was_inserted": False})


async def shards(request: Request) -> Response:
    """POST {cas}/v1/shards: files of chunks that have come before."""
    (store, repo, *_), shard = await _receive_shard(request)
    await run_in_threadpool(sum, store.xet.register(repo, shard))
    return JSONResponse({"result": 1})


async def shards_with_progress(request: Request) -> Response:
    """POST {cas}/v2/shards: the same; the answer is a line of JSON after each part of the content."""
    return StreamingResponse(
        _progress(*await _receive_shard(request)), media_type="application/x-ndjson"
    )


def _progress(who: Caller, shard: Shard) -> Iterator[bytes]:
    total, done = sum(file.size for file in shard.files), 0
    try:
        for count in who.store.xet.register(who.repo, shard):
            if done // _PROGRESS != (done + count) // _PROGRESS:
                yield _line(type="validating", verified=done + count, total=total)
            done += count
    except HubError as error:
        yield _line(type="error", message=error.message, retryable=False)
    else:
        yield _line(type="result")


def _line(**event: object) -> bytes:
    return json.dumps(event).encode() + b"\n"


async def _receive_shard(request: Request) -> tuple[Caller, Shard]:
    who = await run_in_threadpool(caller, request, "write")
    data = await read(request, MAX_SHARD)
    return who, await run_in_threadpool(_checked, who, data, limits(request).lfs_object)


def _checked(who: Caller, data: bytes, limit: int) -> Shard:
    shard = parse(data)
    if any(file.size > limit for file in shard.files):
        raise TooLargeError(f"A file is larger than {limit} bytes")
    who.store.catalog.refuse_purged(file.sha256 for file in shard.files)
    catalog = who.store.xet.catalog
    new = sum(
        file.size for file in shard.files if catalog.held(who.repo, to_hex(file.hash)) is None
    )
    _check_quota(who.store, who.repo.namespace, new)
    who.store.xet.check(who.repo, shard)
    return shard


def chunks(request: Request) -> Response:
    """GET {cas}/v1/chunks/default/{hash}: xorbs of a file with that chunk, that the caller may read.

    Whoever may write gets those of other repos too, and their repo may refer to them from then on.
    """
    store, home, principal, right = caller(request, "read")
    found = next(
        (
            match
            for match in store.xet.catalog.find(to_hex(from_hex(request.path_params["hash"])))
            if match.repo.key == home.key
            or (right == "write" and may_read(store, principal, match.repo))
        ),
        None,
    )
    file = store.xet.catalog.file(found.oid) if found else None
    if found is None or file is None:
        raise EntryNotFoundError("There is no such chunk")
    ordered = list(dict.fromkeys(to_hex(term.xorb) for term in file.terms))
    offered = ordered[ordered.index(found.xorb) :][:_MOST_XORBS]
    if found.repo.key != home.key:
        store.xet.catalog.offer(home, offered)
    data = serialize(
        ((digest, store.xet.index(digest)) for digest in map(from_hex, offered)),
        secrets.token_bytes(HASH_BYTES),
        int(time.time()) + _OFFER,
    )
    return Response(data, media_type="application/octet-stream")


routes = [
    Route(f"{API}/xet-write-token/{REVISION}", write_token, methods=["GET"]),
    Route(
        f"{CAS}/v1/xorb-grants/{{prefix:hub_segment}}/{{hash:hub_segment}}", grant, methods=["POST"]
    ),
    Route(
        f"{CAS}/v1/xorbs/{{prefix:hub_segment}}/{{hash:hub_segment}}",
        receive_xorb,
        methods=["POST"],
    ),
    Route(f"{CAS}/v1/shards", shards, methods=["POST"]),
    Route(f"{CAS}/v2/shards", shards_with_progress, methods=["POST"]),
    Route(f"{CAS}/v1/chunks/{{prefix:hub_segment}}/{{hash:hub_segment}}", chunks, methods=["GET"]),
]
