"""Path parameters of the Hub's routes.

A revision or a path may contain an encoded slash (`refs%2Fpr%2F1`), which must not split a segment. So
routes are matched on the path as it was sent, and each parameter is decoded afterwards.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeVar
from urllib.parse import unquote, urlencode

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ggez_hub.embedded.errors import InvalidRequestError
from ggez_hub.embedded.names import REPO_TYPES


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
    "hub_kind": Parameter("|".join(f"{kind}s" for kind in REPO_TYPES), suffix="s"),
    "hub_bucket": Parameter("buckets", suffix="s"),
    # The prefix of a repo's own address, which models do not have; the parameter is the type.
    "hub_prefix": Parameter("(?:datasets/|spaces/|kernels/)?", suffix="s/", default="model"),
    # Parts of the Hub's API that this hub does not have.
    "hub_not_offered": Parameter("collections|jobs|papers|scheduled-jobs|settings|webhooks"),
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


T = TypeVar("T")


def flag(request: Request, name: str) -> bool:
    """Whether a query parameter is set to something true."""
    return request.query_params.get(name, "").lower() in {"true", "1"}


@lru_cache(maxsize=8192)
def timestamp(seconds: int, milliseconds: int = 0) -> str:
    """A moment as the Hub's API writes it."""
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    moment += datetime.timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def page(request: Request, items: Sequence[T], largest: int) -> tuple[Sequence[T], dict[str, str]]:
    """The requested page, and the headers that lead to the next.

    Raises InvalidRequestError if `limit` or `cursor` is malformed.
    """
    start, size = window(request, largest)
    end = start + size
    return items[start:end], next_page(request, end) if size and end < len(items) else {}


def window(request: Request, largest: int) -> tuple[int, int]:
    """The first item of the requested page, and how many it has at most.

    Raises InvalidRequestError if `limit` or `cursor` is malformed.
    """
    limit = request.query_params.get("limit", str(largest))
    if not limit.isascii() or not limit.isdigit() or len(limit) > 9:
        raise InvalidRequestError("'limit' must be a number")
    cursor = request.query_params.get("cursor", "")
    try:
        offset = int(base64.urlsafe_b64decode(cursor)) if cursor else 0
    except ValueError as error:
        raise InvalidRequestError("'cursor' is not one of this hub") from error
    # SQLite counts to 2**63.
    return min(max(offset, 0), 1 << 60), min(int(limit), largest)


def next_page(request: Request, start: int) -> dict[str, str]:
    """The header that leads to the page beginning with item `start`."""
    return link_to_next(request, base64.urlsafe_b64encode(str(start).encode()).decode())


def link_to_next(request: Request, cursor: str) -> dict[str, str]:
    """The header that leads to the page with that cursor."""
    kept = [(key, value) for key, value in request.query_params.multi_items() if key != "cursor"]
    address = request.url.replace(query=urlencode([*kept, ("cursor", cursor)]))
    return {"Link": f'<{address}>; rel="next"'}
