"""`git clone` and `git fetch` over HTTP; nothing can be pushed: commits come over the API.

git answers where it is installed, elsewhere dulwich (version 0): https://git-scm.com/docs/gitprotocol-http
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Final

import anyio
from anyio import from_thread, to_thread
from dulwich.errors import GitProtocolError, HangupException
from dulwich.protocol import ReceivableProtocol
from dulwich.repo import Repo
from dulwich.server import Backend, UploadPackHandler
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ggez_hub.embedded.errors import InvalidRequestError, PermissionDeniedError, TooLargeError
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.body import limits, read
from ggez_hub.embedded.http.git_process import find_git
from ggez_hub.embedded.http.git_process import upload_pack as git_upload_pack
from ggez_hub.embedded.http.parameters import WEB

SERVICE: Final = "git-upload-pack"
PUSH: Final = "git-receive-pack"
BLOCK: Final = 256 << 10
_NO_PUSH: Final = "this hub takes no pushes: send files with `hf upload {repo} FOLDER`"
_FRESH: Final = {"Cache-Control": "no-cache, max-age=0, must-revalidate"}


def info_refs(request: Request) -> Response:
    """GET /{id}[.git]/info/refs?service=git-upload-pack."""
    repo = access.content(request)
    service = request.query_params.get("service")
    if service == PUSH:
        # As the first line of an answer git shows it, but not the message of a 403.
        return Response(
            _announced(PUSH) + _packet(f"ERR {_NO_PUSH.format(repo=repo.id)}\n"),
            headers=_FRESH,
            media_type=f"application/x-{PUSH}-advertisement",
        )
    if service != SERVICE:
        raise PermissionDeniedError(f"Only {SERVICE} is served here")
    media_type = f"application/x-{SERVICE}-advertisement"
    if (binary := find_git()) is not None:
        protocol = request.headers.get("git-protocol", "")
        folder = access.store(request).folder(repo)
        with git_upload_pack(binary, folder, protocol, b"", "--advertise-refs") as answer:
            found = answer.read()
        if protocol != "version=2":
            found = _announced(SERVICE) + found
        return Response(found, headers=_FRESH, media_type=media_type)
    out = BytesIO()
    with Repo(str(access.store(request).folder(repo))) as git:
        handler = _handler(git, b"", out.write, advertise=True)
        handler.proto.write_pkt_line(f"# service={SERVICE}\n".encode())
        handler.proto.write_pkt_line(None)
        handler.handle()
    return Response(out.getvalue(), headers=_FRESH, media_type=media_type)


async def upload_pack(request: Request) -> Response:
    """POST /{id}[.git]/git-upload-pack."""
    repo = await run_in_threadpool(access.content, request)
    limit = limits(request).json_body
    wanted = await read(request, limit)
    if request.headers.get("content-encoding") == "gzip":
        wanted = _gunzip(wanted, limit)
    protocol = request.headers.get("git-protocol", "")
    store = access.store(request)
    return PackResponse(store.folder(repo), wanted, protocol, BackgroundTask(store.tidy, repo))


def receive_pack(request: Request) -> Response:
    """POST /{id}[.git]/git-receive-pack."""
    raise PermissionDeniedError(_NO_PUSH.format(repo=access.content(request).id))


def _packet(text: str) -> bytes:
    return f"{len(text) + 4:04x}{text}".encode()


def _announced(service: str) -> bytes:
    return _packet(f"# service={service}\n") + b"0000"


class PackResponse(Response):
    """The answer to a request of `git-upload-pack`, which is sent while it is made.

    A request that is not of the protocol is an InvalidRequestError until the first block is sent.
    """

    media_type = f"application/x-{SERVICE}-result"

    def __init__(
        self, folder: Path, wanted: bytes, protocol: str, background: BackgroundTask
    ) -> None:
        super().__init__(headers=_FRESH, background=background)
        self._protocol = protocol
        del self.headers["content-length"]
        self._folder = folder
        self._wanted = wanted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        pending = bytearray()
        started = False

        async def flush(*, more: bool = True) -> None:
            nonlocal started
            if not started:
                started = True
                start = {"status": self.status_code, "headers": self.raw_headers}
                await send({"type": "http.response.start", **start})
            if await request.is_disconnected():
                raise ClientDisconnect
            body = {"body": bytes(pending), "more_body": more}
            pending.clear()
            await send({"type": "http.response.body", **body})

        def write(data: bytes) -> int:
            pending.extend(data)
            if len(pending) >= BLOCK:
                from_thread.run(flush)
            return len(data)

        def work() -> None:
            binary = find_git()
            if binary is not None:
                with git_upload_pack(binary, self._folder, self._protocol, self._wanted) as out:
                    while block := out.read(BLOCK):
                        write(block)
                return
            with Repo(str(self._folder)) as git:
                _handler(git, self._wanted, write).handle()

        try:
            # A thread of its own: clones that take long leave those of the other requests free.
            await to_thread.run_sync(work, limiter=anyio.CapacityLimiter(1))
            await flush(more=False)
        except ClientDisconnect:
            return
        except (GitProtocolError, HangupException, AssertionError, ValueError, KeyError) as error:
            raise InvalidRequestError(f"This is not a request of {SERVICE}: {error}") from error
        if self.background is not None:
            await self.background()


class _OneRepo(Backend):
    """The repository that dulwich's handler works on."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo

    def open_repository(self, path: str) -> Repo:
        return self._repo


def _handler(
    repo: Repo, request: bytes, write: Callable[[bytes], int], *, advertise: bool = False
) -> UploadPackHandler:
    proto = ReceivableProtocol(BytesIO(request).read, write)
    return UploadPackHandler(
        _OneRepo(repo), [""], proto, stateless_rpc=True, advertise_refs=advertise
    )


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
        (f"/{PUSH}", receive_pack, "POST"),
    )
]
