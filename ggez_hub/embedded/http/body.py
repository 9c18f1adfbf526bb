"""Reading request bodies without taking in more than the limits allow."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request

from ggez_hub.embedded.errors import InvalidRequestError, TooLargeError


async def read(request: Request, limit: int) -> bytes:
    """The body.

    Raises:
        TooLargeError: it is longer than `limit`.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise TooLargeError(f"The body is larger than {limit} bytes")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLargeError(f"The body is larger than {limit} bytes")
    return bytes(body)


async def read_json(request: Request, limit: int) -> dict[str, Any]:
    """The body, which is a JSON object; an empty one counts as `{}`.

    Raises:
        InvalidRequestError: it is something else.
        TooLargeError: it is longer than `limit`.
    """
    return parse_object(await read(request, limit) or b"{}")


async def read_form(request: Request, limit: int) -> dict[str, list[str]]:
    """The body as lists of values by key, from a form or from a JSON object.

    Raises:
        InvalidRequestError: it is neither.
        TooLargeError: it is longer than `limit`.
    """
    if "json" in request.headers.get("content-type", ""):
        data = await read_json(request, limit)
        return {
            key: [str(item) for item in (value if isinstance(value, list) else [value])]
            for key, value in data.items()
        }
    body = await read(request, limit)
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=10_000)
    except ValueError as error:
        raise InvalidRequestError("The body is not a form of at most 10000 fields") from error


async def read_lines(request: Request, line_limit: int, limit: int) -> AsyncIterator[bytes]:
    """The lines of the body one by one, as they arrive.

    Raises:
        TooLargeError: a line, or the whole, is longer than its limit.
    """
    pending = bytearray()
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        searched = len(pending)
        pending += chunk
        while (end := pending.find(b"\n", searched)) >= 0:
            line = bytes(pending[:end])
            del pending[: end + 1]
            searched = 0
            if line.strip():
                yield line
        if len(pending) > line_limit or total > limit:
            raise TooLargeError(f"A commit is at most {limit} bytes, a line of it {line_limit}")
    if pending.strip():
        yield bytes(pending)


def parse_object(data: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InvalidRequestError: `data` is something else.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError("The body is not valid JSON") from error
    if not isinstance(value, dict):
        raise InvalidRequestError("The body is not a JSON object")
    return value


def text(data: dict[str, Any], key: str, default: str | None = None) -> str:
    """The string at `key`.

    Raises:
        InvalidRequestError: it is missing without a default, or is no string.
    """
    value = data.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise InvalidRequestError(f"{key!r} must be a string")
    return value
