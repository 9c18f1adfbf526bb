"""Who sends half a request, or one byte after another, is not waited for without end."""

import asyncio
import http.client
import socket
from contextlib import closing, contextmanager, nullcontext, suppress
from threading import Event
from urllib.parse import urlsplit

import httpx2
import pytest

from ggez_hub.embedded import time_limits
from ggez_hub.embedded.errors import HubError
from ggez_hub.embedded.server import Server
from ggez_hub.embedded.time_limits import IDLE, LimitTime, TimedProtocol

POST = "POST /api/repos/create HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
GET = "GET / HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def limit(monkeypatch):
    """Sets the limits to what is waited for, or to what never comes: a machine may have much else to do."""

    def setting(*, headers=600.0, idle=600.0):
        monkeypatch.setattr(time_limits, "HEADERS", headers)
        monkeypatch.setattr(time_limits, "IDLE", idle)

    return setting


@contextmanager
def connected(endpoint):
    address = urlsplit(endpoint)
    with socket.create_connection((address.hostname, address.port), timeout=120) as connection:
        yield connection


def rest(connection, more=b""):
    """All that comes until the hub ends the connection, to which `more` is sent again and again."""
    found = b""
    connection.settimeout(0.05)
    for _ in range(2400):
        with suppress(ConnectionError):
            connection.sendall(more)
        try:
            block = connection.recv(1 << 16)
        except TimeoutError:
            continue
        except ConnectionError:
            return found
        if not block:
            return found
        found += block
    pytest.fail("the hub waits for ever")


@pytest.mark.parametrize("sent", ["", "G", GET, GET + "X-Long: " + "x" * 1000])
def test_half_a_request_ends_the_connection(hub, limit, sent):
    limit(headers=0.4)
    with connected(hub.endpoint) as connection:
        with suppress(ConnectionError):
            connection.sendall(sent.encode())
        assert rest(connection) == b""


@pytest.mark.parametrize("answered", [False, True])
def test_headers_that_drip_end_the_connection(hub, limit, answered):
    """Also after an answer: a byte that comes in time earns no more of it."""
    limit(headers=600 if answered else 0.4)
    with connected(hub.endpoint) as connection:
        if answered:
            client = http.client.HTTPConnection("localhost")
            client.sock = connection
            for _ in range(2):
                client.request("GET", "/")
                assert client.getresponse().read()
                # The hub is done with the first: the limit is that after the second.
                httpx2.get(hub.endpoint)
                limit(headers=0.4)
        with suppress(ConnectionError):
            connection.sendall((GET + "X-Drip: ").encode())
        assert rest(connection, b"x") == b""


@pytest.mark.parametrize("drip", [b"", b" "])
def test_a_body_that_does_not_arrive_is_answered(hub, limit, drip):
    limit(idle=0.4)
    with connected(hub.endpoint) as connection:
        connection.sendall(POST.encode() + b"{")
        answer = rest(connection, drip)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"too long" in answer


class PatientLoop(asyncio.SelectorEventLoop):
    """Time passes at once where nothing else is to be done, and at no other moment."""

    now = 0.0

    def time(self):
        return self.now

    def _run_once(self):
        if not self._ready:
            self.now = min(each.when() for each in self._scheduled if not each.cancelled())
        super()._run_once()


@pytest.mark.parametrize(
    ("part", "pause", "arrives"),
    [(60 << 10, 50.0, True), (1, 5.0, False), (1, 50.0, False), (60 << 10, 70.0, False)],
)
def test_each_part_of_a_body_earns_time_for_the_next(part, pause, arrives):
    """However long it takes in all: fourteen parts, each after a pause."""
    loop, came = PatientLoop(), []

    async def receive():
        await asyncio.sleep(pause)
        came.append(part)
        return {"type": "http.request", "body": b"x" * part, "more_body": len(came) < 14}

    async def read(scope, receive, send):
        while (await receive())["more_body"]:
            pass

    expected = (
        nullcontext() if arrives else pytest.raises(HubError, match="took too long to arrive")
    )
    with closing(loop), expected:
        loop.run_until_complete(LimitTime(read)({"type": "http"}, receive, None))
    if arrives:
        assert loop.now == 14 * pause > IDLE
    else:
        assert IDLE <= loop.now < IDLE + 1


@pytest.mark.parametrize("more", [b"", b"G"])
def test_an_answer_that_nobody_reads_is_given_up(hub, repo, limit, monkeypatch, more):
    """Also where something is sent meanwhile."""
    large = bytes(24 << 20)
    hub.store.commit(
        "model", repo, {"x.bin": large}, message="x", author="a", email="a@example.org", date=1
    )
    limit(idle=0.4)
    address = urlsplit(hub.endpoint)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.settimeout(120)
        connection.connect((address.hostname, address.port))

        def seen(name):
            event, method = Event(), getattr(TimedProtocol, name)

            def noting(protocol, *arguments):
                method(protocol, *arguments)
                if protocol.client == connection.getsockname():
                    event.set()

            monkeypatch.setattr(TimedProtocol, name, noting)
            return event

        waits, over = seen("pause_writing"), seen("connection_lost")
        connection.sendall(
            f"GET /{repo}/resolve/main/x.bin HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
        assert waits.wait(120)
        with suppress(ConnectionError):
            connection.sendall(more)
        assert over.wait(120)
        assert len(rest(connection)) < len(large)


def test_an_idle_connection_is_kept_longer_than_clients_keep_it(store):
    """Else the hub hangs up while the next request is on its way."""
    server = Server(store)
    server.socket.close()
    assert server.config.timeout_keep_alive > 2 * httpx2.Limits().keepalive_expiry
