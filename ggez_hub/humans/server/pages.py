"""The templates, with every value escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from ggez_hub.humans.server.site import Session
from ggez_hub.humans.server.words import Said, Speech

HERE = Path(__file__).parent
STATIC = HERE / "static"


@cache
def environment() -> Environment:
    """The templates of this folder."""
    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(
    template: str,
    speech: Speech,
    session: Session | None = None,
    status: int = 200,
    **context: object,
) -> HTMLResponse:
    """A page in the language of a rater."""

    def said(text: Said) -> Markup:
        """A text, marked where it is not in the language of the page."""
        if text.language == speech.language:
            return escape(text.text)
        return Markup('<span lang="{}">{}</span>').format(text.language, text.text)

    found = environment().get_template(f"{template}.html")
    shown = found.render(speech=speech, words=speech.words, session=session, said=said, **context)
    return HTMLResponse(shown, status)
