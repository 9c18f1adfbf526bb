"""Running the hub: uvicorn over one store."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path

from ggez_hub.embedded.app_server import LOCALHOST, AppServer
from ggez_hub.embedded.http.app import create_app
from ggez_hub.embedded.http.body import Limits
from ggez_hub.embedded.http.network import Network
from ggez_hub.embedded.jobs import JobRunner
from ggez_hub.embedded.sessions import SessionFiles
from ggez_hub.embedded.store import HubStore
from ggez_hub.embedded.webhook_delivery import delivering


class Server(AppServer):
    """A server for a store; `port=0` takes a free port."""

    def __init__(
        self,
        store: HubStore,
        host: str = LOCALHOST,
        port: int = 0,
        limits: Limits | None = None,
        network: Network | None = None,
        webhook_hosts: Collection[str] = (),
        jobs: JobRunner | None = None,
    ) -> None:
        limits, network = limits or Limits(), network or Network()
        app = create_app(store, limits, network, webhook_hosts, jobs)
        super().__init__(app, host, port, limits.headers, network.tls())


def serve(
    root: Path,
    host: str = LOCALHOST,
    port: int = 8000,
    accounts: Path | None = None,
    limits: Limits | None = None,
    network: Network | None = None,
    announce: Callable[[str], None] = print,
    finished: Callable[[], bool] | None = None,
    webhook_hosts: Collection[str] = (),
    jobs: bool = False,
) -> None:
    """Serve the store in `root` until interrupted or `finished`; sessions on the folder join this server.

    `accounts` is a YAML file of users to add first. `announce` is called with the address of the
    hub once it can be reached; by default it is printed. Webhooks are sent to `webhook_hosts` alone. With `jobs`
    whoever has a token that writes can run commands as this user. Raises InvalidRequestError if the accounts
    file has another form, HubError if the address or port is not available, SessionError if a
    server runs on the folder already.
    """
    with HubStore.open(root) as store:
        files = SessionFiles(store.root)
        with files.serving():
            if accounts is not None:
                from ggez_hub.embedded.accounts import load_accounts

                load_accounts(store.accounts, accounts)
            store.reserve.fill()
            store.owner_token()
            store.remove_abandoned()
            runner = JobRunner(store.root / "jobs") if jobs else None
            server = Server(store, host, port, limits, network, webhook_hosts, runner)
            address = (network and network.public_url) or server.url
            with ExitStack() as stack:
                stack.enter_context(server.socket)
                stack.enter_context(delivering(store, address, webhook_hosts))
                if runner is not None:
                    stack.callback(runner.close)
                files.publish(server.url)
                announce(server.url)
                server.run_until(finished)
