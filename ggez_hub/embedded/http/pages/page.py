"""What every page has: the templates, with every value escaped, and headers that allow no script."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.errors import HubError

HERE: Final = Path(__file__).parent
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    # A page can be of a private repo.
    "Cache-Control": "private, no-cache",
    "Vary": "Authorization",
}
Handler = Callable[[Request], Response]


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(
    template: str, title: str, repo: RepoRecord | None = None, tab: str = "", **values: Any
) -> HTMLResponse:
    """A page; of a repo it has its name and the tabs."""
    home = f"/{repo.url_path}" if repo else ""
    tabs = (
        ("Card", home),
        ("Files", f"{home}/tree/main"),
        ("Commits", f"{home}/commits/main"),
        ("Discussions", f"{home}/discussions"),
    )
    shown = _environment().get_template(f"{template}.html")
    text = shown.render(title=title, repo=repo, home=home, tabs=tabs, tab=tab, **values)
    # Git does not demand UTF-8 of names.
    return HTMLResponse(text.encode(errors="replace"), headers=dict(HEADERS))


def wants_page(request: Request) -> bool:
    """Whether a browser asks, which shows a page and no JSON."""
    return "text/html" in request.headers.get("accept", "")


def page(handler: Handler) -> Handler:
    """A handler whose refusals are pages, too, for who wants one."""

    @functools.wraps(handler)
    def wrapper(request: Request) -> Response:
        try:
            return handler(request)
        except HubError as error:
            location = error.headers.get("Location")
            if not wants_page(request) or location:
                raise
            refused = render("error", "Not shown", message=error.message)
            refused.status_code = error.status
            if error.status == 401:
                # The browser asks for a name, which may be any, and the token as the password.
                refused.headers["WWW-Authenticate"] = 'Basic realm="ggez-hub"'
            return refused

    return wrapper


def size_text(nbytes: int) -> str:
    """A number of bytes for people."""
    size, unit = float(nbytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.3g} {unit}" if unit != "bytes" else f"{nbytes} bytes"
