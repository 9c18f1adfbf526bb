"""`doctor`: what is there and what is not, with the way out and without a secret."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.embedded import session, session_token
from ggez_hub.embedded.sessions import SessionFiles, server_status
from ggez_hub.installation.hub import hubs
from ggez_hub.installation.libraries import EXTRAS, packages
from ggez_hub.installation.machine import disks

pytestmark = pytest.mark.slow

SECRET = "hf_neverprintthisanywhere"


def by_name(findings):
    return {finding.name: finding for finding in findings}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr("ggez_hub.installation.hub.HUB_TIMEOUT", 120.0)
    with session(tmp_path / "hub") as endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        monkeypatch.setenv("HF_TOKEN", session_token(tmp_path / "hub"))
        yield endpoint


@contextmanager
def answering(status, body):
    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_machine_that_is_well(hub, monkeypatch):
    result = CliRunner().invoke(cli, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["ok"]
    found = {finding["name"]: finding for finding in said["findings"]}
    assert found["answers"]["state"] == found["core"]["state"] == "ok"
    assert found["address"]["found"] == hub
    assert found["token"]["found"] == "of local, in HF_TOKEN"
    assert "on " in found["torch"]["found"]
    assert os.environ["HF_TOKEN"] not in result.output


def test_a_token_that_the_hub_refuses(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    result = CliRunner().invoke(cli, ["doctor"])
    assert result.exit_code == 1
    assert "the hub refuses the one in HF_TOKEN (401)" in result.stdout
    assert "error: hub: token: broken" in result.stderr
    assert SECRET not in result.output
    # Another hub is never sent it.
    other = by_name(hubs(ask=False, hub="http://127.0.0.1:9"))
    assert "token" not in other
    assert other["address"].found == "http://127.0.0.1:9"
    # Elsewhere the error says what is wrong.
    command = [sys.executable, "-m", "ggez_hub", "search"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "error: the hub does not accept the token" in ended.stderr


def test_a_hub_that_is_not_there(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"http://ada:{SECRET}@127.0.0.1:9")
    result = CliRunner().invoke(cli, ["doctor"])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "http://127.0.0.1:9" in result.stdout
    assert "error: hub: answers: broken" in result.stderr
    assert "--hub embedded needs none" in result.stderr
    assert "pip install 'ggez-hub[trackio]'" in result.stdout
    assert SECRET not in result.output
    left_out = by_name(hubs(ask=False))["answers"]
    assert (left_out.state, left_out.found) == ("note", "not asked: --offline")


@pytest.mark.parametrize(("status", "body"), [(200, b"<html>Sign in</html>"), (503, b"[]")])
def test_an_answer_that_is_no_hubs(status, body, monkeypatch):
    with answering(status, body) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert by_name(hubs(ask=True))["answers"].state == "broken"


@pytest.mark.parametrize("endpoint", ["http://[::1", f"ftp://ada:{SECRET}@host"])
def test_an_endpoint_that_is_none(endpoint):
    ended = subprocess.run(
        [sys.executable, "-m", "ggez_hub", "doctor"],
        env=os.environ | {"HF_ENDPOINT": endpoint},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "HF_ENDPOINT is not an http address" in ended.stdout
    assert "Traceback" not in ended.stderr
    assert SECRET not in ended.stdout + ended.stderr


def test_offline_asks_nobody(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = by_name(hubs(ask=True))["answers"]
    assert (found.state, found.fix) == ("note", "Unset HF_HUB_OFFLINE.")


def test_a_token_in_its_file(home):
    place = home / "hf" / "token"
    assert by_name(hubs(ask=False))["token"].state == "note"
    place.parent.mkdir(parents=True)
    place.write_text(SECRET)
    found = by_name(hubs(ask=False))["token"]
    assert found.state == "ok"
    assert str(place) in found.found


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert {finding.state for finding in disks()} <= {"ok", "note"}
    monkeypatch.setenv("HF_HOME", str(tmp_path / "file" / "hf"))
    found = by_name(disks())["cache of models"]
    assert found.state == "broken"
    assert found.fix == "Set HF_HOME to another folder."


def test_libraries_that_are_missing_or_others(tmp_path, monkeypatch):
    folder = tmp_path / "ggez_hub-9.0.dist-info"
    folder.mkdir()
    asked = "numpy<1", "click>=1", "click<2; extra == 'merge'", "no-such-library; extra == 'eval'"
    lines = ["Metadata-Version: 2.1", "Name: ggez-hub", "Version: 9.0", "Requires-Python: >=3.9"]
    lines += [f"Requires-Dist: {one}" for one in asked]
    (folder / "METADATA").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = by_name(packages())
    assert found["python"].state == "ok"
    assert found["core"].state == "broken"
    assert "numpy is" in found["core"].found
    assert "click" not in found["core"].found
    assert found["merge"].state == found["eval"].state == "note"
    assert "click is" in found["merge"].found
    assert "no no-such-library" in found["eval"].found
    assert found["eval"].fix == "pip install 'ggez-hub[eval]'"
    assert found["train"].state == "ok"


def test_every_extra_that_all_includes_is_checked():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]

    def included(extra):
        named = re.findall(r"ggez-hub\[([\w,]+)\]", " ".join(extras[extra]))
        return {extra}.union(*(included(one) for part in named for one in part.split(",")))

    assert included("all") - {"all"} <= set(EXTRAS)


def test_the_hub_on_this_machine(tmp_path):
    root = tmp_path / "store"
    assert server_status(root).state == "absent"
    assert not root.exists()
    with session(root) as endpoint:
        assert (server_status(root).state, server_status(root).endpoint) == ("serving", endpoint)
        with SessionFiles(root).joining():
            assert server_status(root).state == "busy"
    dead = tmp_path / "dead"
    SessionFiles(dead).publish("http://127.0.0.1:9")
    assert server_status(dead).state == "stale"
    with SessionFiles(dead).serving():
        assert server_status(dead).state == "silent"
    Path(dead / "server.json").write_text("{")
    assert server_status(dead).state == "idle"
