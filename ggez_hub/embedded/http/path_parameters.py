"""Path parameters of the Hub's routes.

A revision or a path may contain an encoded slash (`refs%2Fpr%2F1`), which must not split a segment. So
routes are matched on the path as it was sent, and each parameter is decoded afterwards.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from starlette.convertors import Convertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send


class Segment(Convertor[str]):
    """One segment of the path, decoded."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        """Decode."""
        return unquote(value)

    def to_string(self, value: str) -> str:
        """Encode."""
        return quote(value, safe="")


class Kind(Segment):
    """The plural of a repo type, as the API spells it; the parameter is the singular."""

    regex = "models|datasets|spaces"

    def convert(self, value: str) -> str:
        """Decode."""
        return value.removesuffix("s")


class Prefix(Segment):
    """The prefix of a repo's own address, which models do not have; the parameter is the type."""

    regex = "(?:datasets/|spaces/)?"

    def convert(self, value: str) -> str:
        """Decode."""
        return value.removesuffix("s/") or "model"


class Revision(Segment):
    """A revision: one segment, or a full ref that was sent with its slashes as they are."""

    regex = "(?:refs/(?:pr|convert|heads|tags)/)?[^/]+"


class Rest(Segment):
    """The rest of the path, decoded."""

    regex = ".*"


for _name, _convertor in {
    "hub_segment": Segment(),
    "hub_kind": Kind(),
    "hub_prefix": Prefix(),
    "hub_revision": Revision(),
    "hub_rest": Rest(),
}.items():
    register_url_convertor(_name, _convertor)

API = "/api/{kind:hub_kind}/{namespace:hub_segment}/{name:hub_segment}"
WEB = "/{kind:hub_prefix}{namespace:hub_segment}/{name:hub_segment}"
REVISION = "{revision:hub_revision}"
REST = "{path:hub_rest}"


class MatchRawPath:
    """Middleware: routes see the path as it was sent, without decoding."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("raw_path"):
            raw = scope["raw_path"].partition(b"?")[0]
            scope = {**scope, "path": raw.decode("latin-1")}
        await self._app(scope, receive, send)
