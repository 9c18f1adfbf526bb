"""Pages of a list, linked by the `Link` header (RFC 8288), and what else requests and answers share."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar
from urllib.parse import urlencode

from starlette.requests import Request

from ggez_hub.embedded.errors import InvalidRequestError

T = TypeVar("T")


def flag(request: Request, name: str) -> bool:
    """Whether a query parameter is set to something true."""
    return request.query_params.get(name, "").lower() in {"true", "1"}


@lru_cache(maxsize=8192)
def timestamp(seconds: int) -> str:
    """A moment as the Hub's API writes it."""
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
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
    cursor = base64.urlsafe_b64encode(str(start).encode()).decode()
    kept = [(key, value) for key, value in request.query_params.multi_items() if key != "cursor"]
    address = request.url.replace(query=urlencode([*kept, ("cursor", cursor)]))
    return {"Link": f'<{address}>; rel="next"'}
