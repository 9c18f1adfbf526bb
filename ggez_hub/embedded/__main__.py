"""The server process of a session: `python -m ggez_hub.embedded ROOT`. Started by `session`, not by hand."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from filelock import Timeout

from ggez_hub.embedded.server import serve
from ggez_hub.embedded.sessions import SessionFiles


def main(root: Path) -> None:
    """Serve the store in `root` until the last session on it has ended."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    files = SessionFiles(root)
    joining = files.joining(timeout=0)

    def finished() -> bool:
        # The lock stays held until this process has ended: who joins now waits, and starts a new server.
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

    serve(root, port=0, announce=lambda _: None, finished=finished)
    joining.release()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
