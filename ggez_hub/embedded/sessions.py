"""Sessions: one server process for a store folder, for as long as anybody needs it.

In the folder:

    session.lock        held while a client joins or the last one's server ends
    server.lock         held by the server for as long as it lives
    server.json         its address; stale if nobody holds server.lock
    clients/<id>.lock   held by a client for the length of its session
    server.log

The operating system releases the locks of a process however it ends, so nothing that is left behind after
`kill -9` is mistaken for a server or a client.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from ggez_hub.atomic_files import write_file
from ggez_hub.embedded.accounts import read_token
from ggez_hub.embedded.store import HubStore

START_TIMEOUT: Final = 60.0
STATUS_TIMEOUT: Final = 2.0
MAX_LOG_BYTES: Final = 1 << 20
_POLL: Final = 0.01

# A child that nobody waits for is a zombie, and its Popen warns when it is collected.
_children: Final[list[subprocess.Popen[bytes]]] = []


class SessionError(RuntimeError):
    """The server could not be started; the message says why, or ends with the last lines of its log."""


@contextmanager
def session(root: Path, seed: Callable[[HubStore], None] | None = None) -> Iterator[str]:
    """The address of the hub over the store in `root`, which is up at least as long as the block.

    The first session starts the server, later ones of any process join it, and it ends by itself
    after the last. `seed` is called with the store before that, while no other session can begin;
    it decides by itself whether there is anything to do. Raises SessionError if the server could
    not be started.
    """
    root = Path(root).absolute()
    files = SessionFiles(root)
    with ExitStack() as until_the_end:
        with HubStore.open(root) as store, files.joining():
            if seed is not None:
                seed(store)
            store.owner_token()
            # Before the server is looked for: from here on it does not end.
            until_the_end.enter_context(files.client())
            endpoint = _join(files) or _start(files)
        yield endpoint


def session_token(root: Path) -> str | None:
    """The token with which a session on `root` may write, None where there has been no session."""
    return read_token(Path(root))


class SessionFiles:
    """The files by which sessions on one folder find each other."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root / "server.log"
        self._address = root / "server.json"
        self._clients = root / "clients"
        self._clients.mkdir(parents=True, exist_ok=True)

    def joining(self, timeout: float = -1) -> FileLock:
        """The lock under which clients join and a server decides to end."""
        return FileLock(self.root / "session.lock", timeout=timeout, thread_local=False)

    @contextmanager
    def client(self) -> Iterator[None]:
        """Be a client, for whom the server stays up."""
        path = self._clients / f"{uuid.uuid4().hex}.lock"
        try:
            with FileLock(path, thread_local=False):
                yield
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Be the server of the folder; raises SessionError where another one lives."""
        lock = FileLock(self.root / "server.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            where = self.published() or "an address that it has not written down yet"
            raise SessionError(f"a server runs on {self.root} already, at {where}") from None
        try:
            yield
        finally:
            self.withdraw()
            lock.release()

    def is_serving(self) -> bool:
        """Whether a server lives."""
        return _is_held(self.root / "server.lock")

    def published(self) -> str | None:
        """The address that a server has written down; None without one, or where it is damaged."""
        try:
            return str(json.loads(self._address.read_text())["endpoint"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def publish(self, endpoint: str) -> None:
        """Write down the address of this process."""
        write_file(self._address, json.dumps({"endpoint": endpoint, "pid": os.getpid()}))

    def withdraw(self) -> None:
        """Remove the address."""
        self._address.unlink(missing_ok=True)

    def has_clients(self) -> bool:
        """Whether any client holds its lock."""
        return any(_is_held(path) for path in self._clients.glob("*.lock"))

    def forget_clients(self) -> None:
        """Remove the files of clients that are gone; to be called under `joining`."""
        for path in self._clients.glob("*.lock"):
            if not _is_held(path):
                path.unlink(missing_ok=True)


def _is_held(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def _join(files: SessionFiles) -> str | None:
    """The address of the running server, None where there is none.

    A server that was told to end, or is being killed, is waited for.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while files.is_serving():
        endpoint = files.published()
        if endpoint is not None and _is_listening(endpoint):
            return endpoint
        if time.monotonic() > deadline:
            raise SessionError(f"the server of {files.root} does not answer; see {files.log}")
        time.sleep(_POLL)
    files.withdraw()
    return None


def _is_listening(endpoint: str) -> bool:
    """Whether anybody takes connections at an address."""
    address = urlsplit(endpoint)
    try:
        socket.create_connection((address.hostname or "", address.port or 0), timeout=5).close()
    except OSError:
        return False
    return True


def _start(files: SessionFiles) -> str:
    """Start the server in a process of its own; its address once it listens."""
    _children[:] = [child for child in _children if child.poll() is None]
    # -P: a module in the store's folder must not be imported.
    command = [sys.executable, "-P", "-m", "ggez_hub.embedded", str(files.root)]
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
        options = {"creationflags": flags}
    is_long = files.log.exists() and files.log.stat().st_size >= MAX_LOG_BYTES
    # The names of private repos are in it.
    files.log.touch(mode=0o600)
    files.log.chmod(0o600)
    with files.log.open("wb" if is_long else "ab") as log:
        start_of_log = log.seek(0, os.SEEK_END)
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=files.root, **options
        )
    _children.append(child)
    deadline = time.monotonic() + START_TIMEOUT
    while (endpoint := files.published()) is None:
        if child.poll() is not None or time.monotonic() > deadline:
            child.kill()
            child.wait()
            tail = files.log.read_bytes()[start_of_log:].decode(errors="replace")[-2000:]
            raise SessionError(f"the embedded hub did not start; {files.log} ends with:\n{tail}")
        time.sleep(_POLL)
    return endpoint


@dataclass(frozen=True)
class ServerStatus:
    """The server of a folder.

    absent    there has been no session in the folder
    idle      no server runs
    stale     none runs, and one that was killed has left its address: the next session removes it
    busy      somebody is joining, starting or ending it at this moment
    serving   one runs at `endpoint`
    silent    one runs, and does not answer at `endpoint`
    """

    state: Literal["absent", "idle", "stale", "busy", "serving", "silent"]
    endpoint: str | None = None


def server_status(root: Path) -> ServerStatus:
    """The status of the server of the folder `root`, which is not made; raises OSError."""
    if not (root / "clients").is_dir():
        return ServerStatus("absent")
    files = SessionFiles(root)
    try:
        # A server that starts at this moment must not find its lock taken by a question.
        with files.joining(timeout=STATUS_TIMEOUT):
            serving, endpoint = files.is_serving(), files.published()
    except Timeout:
        return ServerStatus("busy")
    if not serving:
        return ServerStatus("idle" if endpoint is None else "stale", endpoint)
    if endpoint is None:
        return ServerStatus("busy")
    return ServerStatus("serving" if _is_listening(endpoint) else "silent", endpoint)
