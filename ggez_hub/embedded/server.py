"""Running the hub: uvicorn over one store."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvicorn

from ggez_hub.embedded.errors import HubError
from ggez_hub.embedded.http.app import create_app
from ggez_hub.embedded.http.body import Limits
from ggez_hub.embedded.http.network import Network
from ggez_hub.embedded.sessions import SessionFiles
from ggez_hub.embedded.store import HubStore

LOCALHOST = "127.0.0.1"


class Server(uvicorn.Server):
    """A uvicorn server for a store; `port=0` takes a free port."""

    def __init__(
        self,
        store: HubStore,
        host: str = LOCALHOST,
        port: int = 0,
        limits: Limits | None = None,
        network: Network | None = None,
    ) -> None:
        limits, network = limits or Limits(), network or Network()
        super().__init__(
            uvicorn.Config(
                create_app(store, limits, network),
                h11_max_incomplete_event_size=limits.headers,
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=bool(network.proxies),
                forwarded_allow_ips=list(network.proxies),
                server_header=False,
                timeout_graceful_shutdown=2,
            )
        )
        self.socket = _listen(host, port)
        self._host = host

    @property
    def url(self) -> str:
        """The address of the hub."""
        # Listening on every address is reached at the loopback one.
        host = {"0.0.0.0": LOCALHOST, "::": "::1"}.get(self._host, self._host)  # noqa: S104
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.socket.getsockname()[1]}"

    def run_until(self, finished: Callable[[], bool] | None = None, period: float = 0.25) -> None:
        """Serve until a signal comes or `finished`, called every `period` seconds, returns True."""
        # uvicorn passes the interrupt on when it has ended: that is how a server is meant to end.
        with suppress(KeyboardInterrupt):
            asyncio.run(self._run_until(finished, period))

    async def _run_until(self, finished: Callable[[], bool] | None, period: float) -> None:
        serving = asyncio.create_task(self.serve(sockets=[self.socket]))
        while finished is not None and not serving.done() and not self.should_exit:
            await asyncio.wait([serving], timeout=period)
            if await asyncio.to_thread(finished):
                self.should_exit = True
        await serving


def serve(
    root: Path,
    host: str = LOCALHOST,
    port: int = 8000,
    accounts: Path | None = None,
    limits: Limits | None = None,
    network: Network | None = None,
    announce: Callable[[str], None] = print,
    finished: Callable[[], bool] | None = None,
) -> None:
    """Serve the store in `root` until interrupted or `finished`; sessions on the folder join this server.

    `accounts` is a YAML file of users to add first. `announce` is called with the address of the
    hub once it can be reached; by default it is printed. Raises InvalidRequestError if the accounts
    file has another form, HubError if the address or port is not available, SessionError if a
    server runs on the folder already.
    """
    with HubStore.open(root) as store:
        files = SessionFiles(store.root)
        with files.serving():
            if accounts is not None:
                from ggez_hub.embedded.accounts import load_accounts

                load_accounts(store.accounts, accounts)
            store.owner_token()
            store.remove_abandoned()
            server = Server(store, host, port, limits, network)
            with server.socket:
                files.publish(server.url)
                announce(server.url)
                server.run_until(finished)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
    except OSError as error:
        listening.close()
        reason = error.strerror or str(error)
        raise HubError(f"cannot listen on port {port} of {host}: {reason}") from error
    return listening
