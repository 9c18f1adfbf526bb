"""Path parameters of the Hub's routes.

A revision or a path may contain an encoded slash (`refs%2Fpr%2F1`), which must not split a segment. So
routes are matched on the path as it was sent, and each parameter is decoded afterwards.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

from starlette.convertors import Convertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send


class Parameter(Convertor[str]):
    """A part of the path, decoded, without `suffix`; `default` in place of an empty one."""

    def __init__(self, regex: str, suffix: str = "", default: str = "") -> None:
        self.regex = regex  # type: ignore[misc]
        self._suffix = suffix
        self._default = default

    def convert(self, value: str) -> str:
        return unquote(value).removesuffix(self._suffix) or self._default

    def to_string(self, value: str) -> str:
        raise NotImplementedError


_PARAMETERS: Final = {
    "hub_segment": Parameter("[^/]+"),
    # The plural of a repo type, as the API spells it; the parameter is the singular.
    "hub_kind": Parameter("models|datasets|spaces", suffix="s"),
    # The prefix of a repo's own address, which models do not have; the parameter is the type.
    "hub_prefix": Parameter("(?:datasets/|spaces/)?", suffix="s/", default="model"),
    # One segment, or a full ref that was sent with its slashes as they are.
    "hub_revision": Parameter("(?:refs/(?:pr|convert|heads|tags)/)?[^/]+"),
    "hub_rest": Parameter(".*"),
}
for _name, _parameter in _PARAMETERS.items():
    register_url_convertor(_name, _parameter)

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
