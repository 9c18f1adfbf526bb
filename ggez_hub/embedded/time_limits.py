"""Time limits for those who send or read slowly: nobody holds a connection, a thread or a file for ever."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ggez_hub.embedded.errors import HubError

# Seconds: for all of a request but its body, and for the next part of a body or of an answer.
HEADERS = 30.0
IDLE = 60.0
# Bytes a second of what is sent or read slowly, once IDLE seconds were waited for it.
SLOWEST = 1 << 10


class TimedProtocol(H11Protocol):
    """uvicorn's protocol, which by itself waits for ever: for a request to be sent, and an answer to be read."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start(HEADERS)

    def handle_events(self) -> None:
        super().handle_events()
        # Who does not read is not given time by what they send.
        waits = self.flow.write_paused
        if self.cycle is not None and not self.cycle.response_complete and not waits:
            self._stop()

    def on_response_complete(self) -> None:
        # Before the next request, which may be here already.
        self._start(HEADERS)
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._start(IDLE)
        super().pause_writing()

    def resume_writing(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _start(self, seconds: float) -> None:
        self._stop()
        unread = self.transport.get_write_buffer_size()
        self._timer = self.loop.call_later(seconds, self._end, seconds, unread)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self, seconds: float, unread: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left and unread - left >= seconds * SLOWEST:
            self._start(seconds)
        else:
            self.transport.abort()


class LimitTime:
    """Middleware: a body that stops or drips is answered with 408."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        waited, received, complete = 0.0, 0, False

        async def receive_in_time() -> Message:
            nonlocal waited, received, complete
            if complete:
                # Nothing but the end of the connection is waited for.
                return await receive()
            now = asyncio.get_running_loop().time
            began = now()
            try:
                async with asyncio.timeout(min(IDLE, IDLE + received / SLOWEST - waited)):
                    message = await receive()
            except TimeoutError:
                complete = True
                problem = "The request took too long to arrive"
                raise HubError(problem, 408, {"Connection": "close"}) from None
            waited += now() - began
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            return message

        await self._app(scope, receive_in_time, send)
