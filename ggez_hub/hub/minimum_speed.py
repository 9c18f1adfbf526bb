"""The least speed of an answer: a byte every few seconds would keep any limit on silence alive.

Only the time that is spent waiting for the hub counts, from the first byte of an answer on, headers
included: a hub may think before it answers, and a user may be slow to write what was received.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore2

from ggez_hub.errors import GgezError

PATIENCE = 60.0  # seconds of waiting before speed matters
LEAST_SPEED = 1_000  # bytes a second, on average


class TooSlow(GgezError):
    """A hub sends an answer so slowly that it would take days."""

    def __init__(self) -> None:
        super().__init__(
            f"the hub sends less than {LEAST_SPEED:,} bytes a second",
            "Run it again later, or use another hub.",
        )


class WatchedBackend(httpcore2.NetworkBackend):
    """Connections of another backend whose answers have a least speed; reading raises TooSlow."""

    def __init__(self, backend: httpcore2.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        made = self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        return _WatchedStream(made)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.NetworkStream:
        made = self._backend.connect_unix_socket(path, timeout, socket_options)
        return _WatchedStream(made)

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


class _WatchedStream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream, self._waited, self._received = stream, 0.0, 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        start = time.monotonic()
        data = self._stream.read(max_bytes, timeout)
        if self._received:
            self._waited += time.monotonic() - start
        self._received += len(data)
        if self._waited > PATIENCE and self._received < LEAST_SPEED * self._waited:
            raise TooSlow
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)
        self._waited, self._received = 0.0, 0

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        return _WatchedStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
