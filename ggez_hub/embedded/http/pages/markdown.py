"""Markdown of strangers as HTML that is safe to show beside anybody's data."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from posixpath import join, normpath
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

# Above, it takes seconds: it is shown as the text that it is.
LONGEST: Final = 100_000
_TAGS: Final = nh3.ALLOWED_TAGS - {"article", "aside", "footer", "header", "nav", "area", "map"}
_ATTRIBUTES: Final = {
    "*": {"align", "title", "dir", "lang"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
}
_FRONT_MATTER: Final = re.compile(
    r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE
)
_EXTERNAL: Final = frozenset({"http", "https", "mailto"})


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def rendered(text: str, home: str = "", revision: str = "main") -> Markup:
    """A card or a comment as HTML: no script, no style, no form, and nothing from elsewhere.

    Relative links lead to the files of the repo at the path `home`, and so do pictures; without one
    they are left out.
    """
    text = _FRONT_MATTER.sub("", text, count=1)
    if len(text) > LONGEST:
        return Markup("<pre>{}</pre>").format(text)
    clean = nh3.clean(
        _parser().render(text),
        tags=set(_TAGS),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=_local(home, revision),
        link_rel="noopener noreferrer nofollow",
        url_schemes=set(_EXTERNAL),
    )
    return Markup(clean)  # noqa: S704 - cleaned


def _local(home: str, revision: str) -> Callable[[str, str, str], str | None]:
    def changed(tag: str, attribute: str, value: str) -> str | None:
        if attribute not in {"href", "src"}:
            return value
        try:
            parts = urlsplit(value.strip())
        except ValueError:
            return None
        if parts.scheme or parts.netloc:
            # A picture elsewhere would tell its owner who reads the card.
            return value if tag == "a" and parts.scheme in _EXTERNAL else None
        path = normpath(join("/", unquote(parts.path))).lstrip("/")
        if not home or not path or "\\" in value:
            return None
        view = "blob" if tag == "a" else "resolve"
        return f"{home}/{view}/{quote(revision, safe='')}/{quote(path)}"

    return changed
