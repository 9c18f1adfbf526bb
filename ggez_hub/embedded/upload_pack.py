"""What git asks for when it clones or fetches: the refs, and a pack of the objects it lacks.

The protocol is dulwich's (version 0, stateless), and nothing can be pushed: commits come over the API.
https://git-scm.com/docs/gitprotocol-http
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

from dulwich.errors import GitProtocolError, HangupException
from dulwich.protocol import ReceivableProtocol
from dulwich.repo import Repo
from dulwich.server import Backend, UploadPackHandler

from ggez_hub.embedded.errors import InvalidRequestError

SERVICE: Final = "git-upload-pack"
BLOCK: Final = 256 << 10
_AHEAD: Final = 8
_log = logging.getLogger("ggez_hub.embedded")


class _OneRepo(Backend):
    """The repository that dulwich's handler works on."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo

    def open_repository(self, path: str) -> Repo:
        return self._repo


class _Abandoned(Exception):
    """The client went away."""


def advertisement(path: Path) -> bytes:
    """The refs of the repository at `path`, as the answer to `info/refs?service=git-upload-pack`."""
    out = BytesIO()
    with Repo(str(path)) as repo:
        handler = _handler(repo, b"", out.write, advertise=True)
        handler.proto.write_pkt_line(f"# service={SERVICE}\n".encode())
        handler.proto.write_pkt_line(None)
        handler.handle()
    return out.getvalue()


def answer(path: Path, request: bytes) -> Iterator[bytes]:
    """The answer to a request of `git-upload-pack`, in blocks that are made as they are taken.

    Raises:
        InvalidRequestError: the request is not of that protocol.
    """
    blocks = _Blocks()
    worker = threading.Thread(target=_work, args=(path, request, blocks), daemon=True)
    worker.start()
    taken = blocks.take()
    # The first block before anything is sent: until then an error can still be an answer of its own.
    first = next(taken, b"")
    return _rest(first, taken, blocks)


def _rest(first: bytes, taken: Iterator[bytes], blocks: _Blocks) -> Iterator[bytes]:
    try:
        yield first
        yield from taken
    finally:
        blocks.abandon()


def _work(path: Path, request: bytes, blocks: _Blocks) -> None:
    try:
        with Repo(str(path)) as repo:
            _handler(repo, request, blocks.write).handle()
        blocks.finish(None)
    except _Abandoned:
        return
    except (GitProtocolError, HangupException, AssertionError, ValueError, KeyError) as error:
        blocks.finish(InvalidRequestError(f"This is not a request of {SERVICE}: {error}"))
    except Exception as error:
        _log.exception("a pack could not be made")
        blocks.finish(error)


def _handler(
    repo: Repo, request: bytes, write: Callable[[bytes], int], *, advertise: bool = False
) -> UploadPackHandler:
    proto = ReceivableProtocol(BytesIO(request).read, write)
    return UploadPackHandler(
        _OneRepo(repo), [""], proto, stateless_rpc=True, advertise_refs=advertise
    )


class _Blocks:
    """A few blocks between the thread that makes them and the one that sends them."""

    def __init__(self) -> None:
        self._queue: queue.Queue[bytes | Exception | None] = queue.Queue(_AHEAD)
        self._pending = bytearray()
        self._abandoned = threading.Event()

    def write(self, data: bytes) -> int:
        self._pending += data
        if len(self._pending) >= BLOCK:
            self._flush()
        return len(data)

    def finish(self, error: Exception | None) -> None:
        try:
            if error is None:
                self._flush()
            self._put(error)
        except _Abandoned:
            return

    def take(self) -> Iterator[bytes]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    def abandon(self) -> None:
        self._abandoned.set()

    def _flush(self) -> None:
        if self._pending:
            self._put(bytes(self._pending))
            self._pending.clear()

    def _put(self, item: bytes | Exception | None) -> None:
        while not self._abandoned.is_set():
            try:
                return self._queue.put(item, timeout=1)
            except queue.Full:
                continue
        raise _Abandoned
