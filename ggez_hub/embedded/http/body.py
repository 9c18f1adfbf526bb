"""Request bodies: how much of one is read, and the checks of what it holds."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qs

from anyio import to_thread
from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from ggez_hub.embedded.errors import InvalidRequestError, TooLargeError
from ggez_hub.embedded.names import check_path


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a client may send at once: bytes, but for `commit_files`, the files of one commit.

    An LFS upload is bounded by what was announced for it, and by `lfs_object`.
    """

    headers: int = 32 << 10
    json_body: int = 8 << 20
    commit_body: int = 1 << 30
    commit_files: int = 25_000
    regular_file: int = 10 << 20
    lfs_object: int = 64 << 30

    @property
    def commit_line(self) -> int:
        """One line of a commit: a regular file in base64, with its path."""
        return self.regular_file * 4 // 3 + (64 << 10)


def limits(request: Request) -> Limits:
    """The limits of the application."""
    found: Limits = request.app.state.limits
    return found


class Body(BaseModel):
    """A JSON object; keys that this hub does not know are ignored."""

    model_config = ConfigDict(frozen=True, strict=True)


def _path(value: object) -> object:
    return check_path(value) if isinstance(value, str) else value


RepoPath = Annotated[str, BeforeValidator(_path)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

B = TypeVar("B", bound=Body)
G = TypeVar("G")
Handler = Callable[[Request], Awaitable[Response]]


def takes(
    model: type[B], authorize: Callable[[Request], G], *, long: bool = False
) -> Callable[[Callable[[Request, G, B], Response]], Handler]:
    """A handler that reads a JSON body, and works in a thread: first `authorize`, then the checks.

    It is called with what `authorize` returns, and with the body. What takes `long` waits for others like it,
    and leaves the threads of the rest free.
    """

    def decorate(handler: Callable[[Request, G, B], Response]) -> Handler:
        def work(request: Request, data: bytes) -> Response:
            granted = authorize(request)
            return handler(request, granted, check(model, parse(data or b"{}")))

        @functools.wraps(handler)
        async def wrapper(request: Request) -> Response:
            data = await read(request, limits(request).json_body)
            limiter = request.app.state.expanding if long else None
            return await to_thread.run_sync(work, request, data, limiter=limiter)

        return wrapper

    return decorate


def parse(data: bytes) -> Any:
    """The value of a JSON text; raises InvalidRequestError."""
    try:
        value = json.loads(data)
        if b"\\u" in data:
            # Half of a pair of surrogates is not text: it can neither be stored nor answered.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError("The body is not valid JSON") from error
    return value


def decoded(content: str) -> bytes:
    """The bytes of a base64 text; raises InvalidRequestError."""
    try:
        return base64.b64decode(content, validate=True)
    except ValueError as error:
        raise InvalidRequestError("the content is not base64") from error


def check(model: type[B], value: object) -> B:
    """A value of JSON as a model; raises InvalidRequestError."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidRequestError.of(error) from error


async def read(request: Request, limit: int) -> bytes:
    """The body; raises TooLargeError if it is longer than `limit`."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise TooLargeError(f"The body is larger than {limit} bytes")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLargeError(f"The body is larger than {limit} bytes")
    return bytes(body)


async def read_form(request: Request) -> dict[str, list[str]]:
    """The body as lists of values by key, from a form or from a JSON object.

    Raises TooLargeError, InvalidRequestError if it is neither.
    """
    body = await read(request, limits(request).json_body)
    if "json" in request.headers.get("content-type", ""):
        data = parse(body or b"{}")
        if not isinstance(data, dict):
            raise InvalidRequestError("The body is not a JSON object")
        return {
            key: list(map(str, value if isinstance(value, list) else [value]))
            for key, value in data.items()
        }
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=10_000)
    except ValueError as error:
        raise InvalidRequestError("The body is not a form of at most 10000 fields") from error


async def read_lines(request: Request) -> AsyncIterator[bytes]:
    """The lines of a commit one by one, as they arrive. Raises TooLargeError."""
    bounds = limits(request)
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
        if len(pending) > bounds.commit_line or total > bounds.commit_body:
            raise TooLargeError(
                f"A commit is at most {bounds.commit_body} bytes, a line of it {bounds.commit_line}"
            )
    if pending.strip():
        yield bytes(pending)
