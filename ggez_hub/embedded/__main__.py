"""The server process of a session: `python -m ggez_hub.embedded ROOT`. Started by `session`, not by hand."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from filelock import Timeout

from ggez_hub.embedded.server import Server
from ggez_hub.embedded.sessions import SessionFiles
from ggez_hub.embedded.store import HubStore


def main(root: Path) -> None:
    """Serve the store in `root` until the last session on it has ended."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    files = SessionFiles(root)
    joining = files.joining(timeout=0)

    def finished() -> bool:
        # The lock stays held until this process has ended: who joins meanwhile waits, and starts anew.
        if files.has_clients():
            return False
        try:
            joining.acquire()
        except Timeout:
            return False
        if files.has_clients():
            joining.release()
            return False
        files.forget_clients()
        files.withdraw()
        return True

    with files.serving(), HubStore.open(root) as store:
        server = Server(store)
        store.remove_abandoned()
        files.publish(server.url)
        try:
            server.run_until(finished)
        finally:
            files.withdraw()
            server.socket.close()
    joining.release()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
