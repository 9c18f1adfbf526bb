"""The user's token goes to HF_ENDPOINT and nowhere else, and into no file."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import huggingface_hub
import pytest
from click.testing import CliRunner
from huggingface_hub import constants, set_client_factory
from huggingface_hub.utils import _http

from ggez_hub.cli.main import cli
from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub, minimum_speed
from ggez_hub.hub.guard import guard_client

from ..faults import wire

TOKEN = "hf_secretsecretsecret"


def listen(hub, tmp_path, monkeypatch, endpoint=None):
    """Everything that a pull sends to `hub`, with a token in the environment."""
    sent = bytearray()

    def upstream(data):
        sent.extend(data)
        return data

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with wire(hub.endpoint, lambda data: data, upstream) as line:
        if endpoint == "this":
            template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
            monkeypatch.setattr(constants, "ENDPOINT", line.endpoint)
            monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", line.endpoint + template)
        out = tmp_path / "out"
        result = CliRunner().invoke(
            cli, ["pull", "--region", "th", "--hub", line.endpoint, "-o", str(out)]
        )
    return bytes(sent), result, out


def test_another_address_never_sees_the_token(seeded, tmp_path, monkeypatch):
    sent, result, _ = listen(seeded, tmp_path, monkeypatch)
    assert result.exit_code == 0, result.output
    assert b"GET /api/" in sent
    assert TOKEN.encode() not in sent


def test_the_endpoint_of_the_token_does(seeded, tmp_path, monkeypatch):
    sent, result, out = listen(seeded, tmp_path, monkeypatch, endpoint="this")
    # The hub does not know this token: what counts is that it was sent, and written nowhere.
    assert TOKEN.encode() in sent
    assert TOKEN not in result.output
    assert not any(TOKEN.encode() in p.read_bytes() for p in out.rglob("*") if p.is_file())


def test_no_token_in_what_is_printed():
    assert TOKEN not in repr(Hub("http://127.0.0.1:9", TOKEN))


@contextmanager
def hub_that(answers):
    """A server on a port of its own; `answers` is called with each request that came in."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers.get("authorization"))
            answers(self)

        do_HEAD = do_GET  # noqa: N815 - the name that the server calls

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def answer(status, content=b"[]", **headers):
    def send(request):
        request.send_response(status)
        given = {"content-length": str(len(content)), "content-type": "application/json", **headers}
        for name, value in given.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(content)

    return send


@pytest.mark.parametrize("status", [200, 302, 307])
def test_a_link_or_a_redirect_takes_the_token_nowhere(status):
    with hub_that(answer(200)) as (other, stolen):
        lead = {"link": f'<{other}/api/models>; rel="next"', "location": f"{other}/api/models"}
        with hub_that(answer(status, **lead)) as (endpoint, seen):
            assert Hub(endpoint, TOKEN).discover(["ggez"]) == []
    assert seen == [f"Bearer {TOKEN}"]
    assert stolen == [None]


@pytest.mark.parametrize("header", ["x_xet_refresh_route", "link"])
def test_the_address_of_tokens_for_xet_is_the_hubs_own(header):
    """The client gives it to a library with the token."""
    commit = {"x_repo_commit": "0" * 40, "etag": f'"{"1" * 40}"', "x_xet_hash": "2" * 64}
    with hub_that(answer(200)) as (other, stolen):
        route = {"x_xet_refresh_route": f"{other}/t", "link": f'<{other}/t>; rel="xet-auth"'}
        given = {**commit, "x_xet_refresh_route": "/t", header: route[header]}
        with (
            hub_that(answer(200, **given)) as (endpoint, _),
            pytest.raises(GgezError, match="tokens on another host"),
        ):
            Hub(endpoint, TOKEN).newest("a/b", "c")
    assert stolen == []


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_drip_of_bytes_ends(part, monkeypatch):
    """Each byte comes before the limit on silence."""
    monkeypatch.setattr(minimum_speed, "PATIENCE", 0.2)

    def drip(request):
        start = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        request.wfile.write(
            start + (b"content-length: 100000\r\n\r\n" if part == "body" else b"x: ")
        )
        with suppress(OSError):
            for _ in range(100_000):
                request.wfile.write(b"1")
                time.sleep(0.01)

    with hub_that(drip) as (endpoint, _), pytest.raises(GgezError, match="bytes a second"):
        Hub(endpoint).discover(["ggez"])


def test_a_hub_may_think_before_it_answers(monkeypatch):
    monkeypatch.setattr(minimum_speed, "PATIENCE", 0.1)

    def think(request):
        time.sleep(0.5)
        # At once: between its head and its body a busy machine may think, too.
        request.wfile.write(b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n[]")

    with hub_that(think) as (endpoint, _):
        assert Hub(endpoint).discover(["ggez"]) == []


def test_threads_guard_the_client_once(monkeypatch):
    """To guard it again would close it under the requests of another thread."""
    guarded = []

    def set_slowly(factory):
        time.sleep(0.05)
        guarded.append(factory)
        set_client_factory(factory)

    monkeypatch.setattr(_http, "_GLOBAL_CLIENT_FACTORY", _http.default_client_factory)
    monkeypatch.setattr(huggingface_hub, "set_client_factory", set_slowly)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: guard_client(), range(4)))
    assert len(guarded) == 1
