"""Running the hub: uvicorn over one store."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
import yaml

from ggez_hub.embedded.errors import InvalidRequestError
from ggez_hub.embedded.http.app import create_app
from ggez_hub.embedded.http.limits import Limits
from ggez_hub.embedded.store import HubStore

LOCALHOST = "127.0.0.1"


class Server(uvicorn.Server):
    """A uvicorn server for a store; `port=0` takes a free port."""

    def __init__(
        self, store: HubStore, host: str = LOCALHOST, port: int = 0, limits: Limits | None = None
    ) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(store, limits),
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=2,
            )
        )
        self.socket = _listen(host, port)
        self._host = host

    @property
    def url(self) -> str:
        """The address of the hub."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.socket.getsockname()[1]}"

    def run_until(self, finished: Callable[[], bool] | None = None, period: float = 0.25) -> None:
        """Serve until a signal comes or `finished`, which is asked every `period` seconds, says so."""
        asyncio.run(self._run_until(finished, period))

    async def _run_until(self, finished: Callable[[], bool] | None, period: float) -> None:
        serving = asyncio.create_task(self.serve(sockets=[self.socket]))
        while finished is not None and not serving.done():
            await asyncio.wait([serving], timeout=period)
            if not serving.done() and await asyncio.to_thread(finished):
                self.should_exit = True
                break
        await serving


def serve(
    root: Path,
    host: str = LOCALHOST,
    port: int = 8000,
    accounts: Path | None = None,
    limits: Limits | None = None,
) -> None:
    """Serve the store in `root` until interrupted; prints the address, and where the owner's token is.

    `accounts` is a YAML file: a list of `{name, fullname, orgs, tokens: [{token, scope}]}`.

    Raises:
        InvalidRequestError: the accounts file has another form.
        OSError: the port cannot be had.
    """
    with HubStore.open(root) as store:
        if accounts is not None:
            load_accounts(store, accounts)
        store.owner_token()
        store.remove_abandoned()
        server = Server(store, host, port, limits)
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        sys.stderr.write(f"The owner's token is in {store.root / 'token'}\n")
        server.run_until()


def load_accounts(store: HubStore, path: Path) -> None:
    """Add the accounts and tokens of a YAML file.

    Raises:
        InvalidRequestError: the file has another form, or a name or token in it is malformed.
    """
    try:
        entries = yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as error:
        raise InvalidRequestError(f"{path} is not YAML: {error}") from error
    if not isinstance(entries, list):
        raise InvalidRequestError(f"{path} must be a list of accounts")
    for entry in entries:
        match entry:
            case {"name": str(name)}:
                _add_account(store, name, entry)
            case _:
                raise InvalidRequestError(f"{path}: each account has a 'name'")


def _add_account(store: HubStore, name: str, entry: dict[str, Any]) -> None:
    match entry:
        case {"orgs": list(orgs)}:
            pass
        case _:
            orgs = []
    store.accounts.add_user(name, str(entry.get("fullname", "")), [str(org) for org in orgs])
    for token in entry.get("tokens", []):
        match token:
            case {"token": str(value), "scope": str(scope)}:
                store.accounts.add_token(name, value, scope)
            case _:
                raise InvalidRequestError(f"{name}: each token has a 'token' and a 'scope'")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY where it sees the protocol; without it each answer waits 40 ms for an ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if sys.platform != "win32":
        # A restarted hub gets its port back at once. On Windows the option means something else.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)
    except BaseException:
        listening.close()
        raise
    return listening
