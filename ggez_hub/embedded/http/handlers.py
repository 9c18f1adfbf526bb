"""Handlers of requests with a JSON body, written as plain functions."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ggez_hub.embedded.http import access, body

Answer: TypeAlias = Callable[[Request, dict[str, Any]], Response]


def takes_json(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """The handler that reads the body, within the limits, and lets `answer` work in a thread.

    The handler raises what `body.read_json` and `answer` raise.
    """

    @functools.wraps(answer)
    async def handler(request: Request) -> Response:
        data = await body.read_json(request, access.limits(request).json_body)
        return await run_in_threadpool(answer, request, data)

    return handler
