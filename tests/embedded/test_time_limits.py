"""Who sends half a request, or one byte after another, is not waited for without end."""

import socket
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from ggez_hub.embedded import time_limits

POST = "POST /api/repos/create HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
GET = "GET / HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(time_limits, "HEADERS", 0.4)
    monkeypatch.setattr(time_limits, "IDLE", 0.4)


@contextmanager
def connected(endpoint):
    address = urlsplit(endpoint)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        yield connection


def rest(connection):
    """All that comes until the hub ends the connection."""
    found = b""
    try:
        while block := connection.recv(1 << 16):
            found += block
    except ConnectionError:
        pass
    return found.decode()


@pytest.mark.parametrize("sent", ["", "G", GET, GET + "X-Long: " + "x" * 1000])
def test_half_a_request_ends_the_connection(hub, sent):
    with connected(hub.endpoint) as connection:
        connection.sendall(sent.encode())
        assert rest(connection) == ""


@pytest.mark.parametrize("before", ["", GET + "\r\n"])
def test_headers_that_drip_end_the_connection(hub, before):
    """Also after an answer: a byte that comes in time earns no more of it."""
    with connected(hub.endpoint) as connection:
        connection.sendall((before + GET + "X-Drip: ").encode())
        connection.settimeout(0.05)
        found = b""
        for _ in range(600):
            try:
                connection.sendall(b"x")
                block = connection.recv(1 << 16)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            if not block:
                break
            found += block
        else:
            pytest.fail("the hub waits for ever")
        assert found.startswith(b"HTTP/1.1 200") == bool(before)


@pytest.mark.parametrize("drip", [False, True])
def test_a_body_that_does_not_arrive_is_answered(hub, drip):
    with connected(hub.endpoint) as connection:
        connection.sendall(POST.encode() + b"{")
        connection.settimeout(0.05)
        answer = ""
        for _ in range(600):
            try:
                if drip:
                    connection.sendall(b" ")
                answer = connection.recv(1 << 16).decode()
                break
            except TimeoutError:
                continue
        assert answer.startswith("HTTP/1.1 408")
        assert "too long" in answer


def test_a_body_that_comes_in_time_is_taken(hub):
    """However long it takes in all: each part earns time for the next."""
    line = b'{"content": "' + b"x" * 4000
    with connected(hub.endpoint) as connection:
        connection.sendall(
            b"POST /api/validate-yaml HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n" % (len(line) + 10)
        )
        connection.sendall(line)
        connection.settimeout(0.1)
        for _ in range(8):
            with pytest.raises(TimeoutError):
                connection.recv(1)
            connection.sendall(b"x")
        connection.settimeout(30)
        connection.sendall(b'"}')
        assert rest(connection).startswith("HTTP/1.1 200")


@pytest.mark.parametrize("more", [b"", b"G"])
def test_an_answer_that_nobody_reads_is_given_up(hub, repo, more):
    """Also where something is sent meanwhile."""
    large = bytes(24 << 20)
    hub.store.commit(
        "model", repo, {"x.bin": large}, message="x", author="a", email="a@example.org", date=1
    )
    address = urlsplit(hub.endpoint)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.settimeout(30)
        connection.connect((address.hostname, address.port))
        connection.sendall(
            f"GET /{repo}/resolve/main/x.bin HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
        time.sleep(0.2)
        connection.sendall(more)
        time.sleep(1.5)
        assert len(rest(connection)) < len(large)
