"""The raters' pages of a study: server-rendered, with a small script; see docs/humans.md.

site       the study that is served, and who sends a request
forms      what a design asks, as fields of a form
screens    what a rater is shown at once
routes     what a browser asks for and sends; `app` puts the checks of `security` around them
words      the pages' own words, in the languages of raters
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ggez_hub.embedded import AppServer, HubError, is_loopback
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.http_address import is_http
from ggez_hub.humans.server.app import create_app
from ggez_hub.humans.server.site import Site

PORT = 8000


def serve(
    folder: Path,
    host: str = "127.0.0.1",
    port: int = PORT,
    address: str | None = None,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve the study of a folder until interrupted.

    `address` is the address at which raters reach it where that is not this machine's own; the
    proxy there sends `Host` and `X-Forwarded-For`, which are trusted then. `announce` is called with
    the address once it can be reached. Raises UsageProblem without `address` where others can reach
    `host`, GgezError if the folder is not a study, or the address or port is not available.
    """
    if address is not None and not is_http(address):
        raise UsageProblem(f"{address!r} is not an http or https address")
    if address is None and not is_loopback(host):
        raise UsageProblem(
            f"others can reach {host}, and raters need the address at which they do",
            "--address https://rate.example.org gives it; see docs/humans.md.",
        )
    site = Site(folder, address)
    try:
        server = AppServer(create_app(site), host, port)
    except HubError as error:
        raise GgezError(error.message, "--port 0 takes a free one.") from error
    with server.socket:
        announce((address or server.url).rstrip("/"))
        server.run_until()
