"""GET /metrics: counts and times in the text format of Prometheus, for who keeps the hub."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ggez_hub.embedded.app_server import is_loopback
from ggez_hub.embedded.errors import PermissionDeniedError
from ggez_hub.embedded.http import access
from ggez_hub.embedded.store import HubStore

# Answers take milliseconds, transfers minutes.
_SECONDS: Final = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0)
# Others are as many as a stranger likes.
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-proto", "x-real-ip")


class Metrics:
    """The counts of one application over a store; repos and accounts are not named in them."""

    def __init__(self, store: HubStore) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self._requests = Counter(
            "hub_requests", "Requests that were answered.", ("method", "status"), registry=registry
        )
        self._seconds = Histogram(
            "hub_request_seconds",
            "Until the end of the answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._sent = Counter("hub_sent_bytes", "Bytes of answers.", registry=registry)
        self._received = Counter("hub_received_bytes", "Bytes of requests.", registry=registry)
        self._open = Gauge("hub_requests_open", "Requests under way.", registry=registry)
        registry.register(_Stored(store))

    def text(self) -> bytes:
        """All of them."""
        return generate_latest(self._registry)

    async def measure(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and count it."""
        started = time.perf_counter()
        status = "none"

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            self._sent.inc(len(message.get("body", b"")))
            await send(message)

        async def receiving() -> Message:
            message = await receive()
            self._received.inc(len(message.get("body", b"")))
            return message

        with self._open.track_inprogress():
            try:
                await app(scope, receiving, sending)
            finally:
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._requests.labels(method, status).inc()
                self._seconds.observe(time.perf_counter() - started)


class _Stored(Collector):
    """What a store holds, counted when it is asked for."""

    def __init__(self, store: HubStore) -> None:
        self._store = store

    def collect(self) -> Iterator[GaugeMetricFamily]:
        rows = self._store.database.rows
        repos = GaugeMetricFamily("hub_repositories", "Repositories by type.", labels=["type"])
        for row in rows("SELECT type, count(*) AS found FROM repos GROUP BY type"):
            repos.add_metric([row["type"]], row["found"])
        yield repos
        accounts = GaugeMetricFamily("hub_accounts", "Accounts by kind.", labels=["kind"])
        for row in rows("SELECT kind, count(*) AS found FROM accounts GROUP BY kind"):
            accounts.add_metric([row["kind"]], row["found"])
        yield accounts
        (large,) = rows(
            "SELECT count(*) AS found, coalesce(sum(size), 0) AS size "
            "FROM (SELECT DISTINCT oid, size FROM objects)"
        )
        yield GaugeMetricFamily("hub_large_files", "Large files.", value=large["found"])
        yield GaugeMetricFamily("hub_large_file_bytes", "Their size.", value=large["size"])


class MeasureRequests:
    """Middleware: counts what passes."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        else:
            await self._metrics.measure(self._app, scope, receive, send)


def metrics(request: Request) -> Response:
    """GET /metrics: for this machine, and with the token of an administrator."""
    if not _is_local(request) and not access.known_caller(request).admin:
        raise PermissionDeniedError("Only an administrator of this hub may read its metrics")
    found: Metrics = request.app.state.metrics
    return Response(found.text(), media_type=CONTENT_TYPE_LATEST)


def _is_local(request: Request) -> bool:
    """Whether a program of this machine asks, and no proxy on it for somebody else."""
    return (
        request.client is not None
        and is_loopback(request.client.host)
        and not request.app.state.behind_proxy
        and not any(name in request.headers for name in _FORWARDED)
        and "authorization" not in request.headers
    )


routes = [Route("/metrics", metrics, methods=["GET"])]
