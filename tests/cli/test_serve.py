"""`serve`: a folder as a hub, and the messages when it cannot be one."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi

from ggez_hub.cli.main import cli
from ggez_hub.embedded import session

COMMAND = [sys.executable, "-c", "from ggez_hub.cli.main import main; main()", "serve"]


@contextmanager
def served(*options):
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_folder_is_served_until_it_is_interrupted(tmp_path):
    accounts = tmp_path / "accounts.yaml"
    accounts.write_text("- {name: ada, token: hf_adaadaadaadaadaada, orgs: [lovelace]}")
    with served("--root", tmp_path / "hub", "--accounts", accounts) as process:
        endpoint = process.stdout.readline().strip()
        assert (
            HfApi(endpoint, token="hf_adaadaadaadaadaada").whoami()["orgs"][0]["name"] == "lovelace"
        )
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "Aborted" not in errors
    assert str(tmp_path / "hub" / "token") in errors
    assert "Traceback" not in errors
    assert "others on the network" not in errors


def test_json_is_one_document(tmp_path):
    with served("--root", tmp_path / "hub", "--json") as process:
        text = ""
        while not text.endswith("}\n"):
            text += process.stdout.readline()
    assert json.loads(text)["endpoint"].startswith("http://127.0.0.1:")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks for every address")
def test_it_says_when_others_can_reach_it(tmp_path):
    with served("--root", tmp_path / "hub", "--host", "0.0.0.0") as process:  # noqa: S104
        endpoint = process.stdout.readline().strip()
        assert list(HfApi(endpoint, token=False).list_models()) == []
        assert "token" in process.stderr.readline()
        assert "others on the network can reach this hub" in process.stderr.readline()


def test_one_server_for_each_folder(tmp_path):
    with served("--root", tmp_path / "hub") as first:
        endpoint = first.stdout.readline().strip()
        with served("--root", tmp_path / "hub") as second:
            out, errors = second.communicate(timeout=120)
            assert second.returncode == 1
    assert not out
    assert errors.startswith("error: a server runs on")
    assert endpoint in errors
    assert "Traceback" not in errors


def test_a_session_joins_the_server_and_does_not_end_it(tmp_path):
    root = tmp_path / "hub"
    with served("--root", root) as process:
        endpoint = process.stdout.readline().strip()
        for _ in range(2):
            with session(root) as joined:
                assert joined == endpoint
        assert process.poll() is None


def test_a_server_that_was_killed_is_no_hindrance(tmp_path):
    root = tmp_path / "hub"
    with served("--root", root) as process:
        process.stdout.readline()
    assert (root / "server.json").exists()
    with served("--root", root) as process:
        endpoint = process.stdout.readline().strip()
        assert list(HfApi(endpoint, token=False).list_models()) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name: ada", "must be a list of accounts"),
        ("- {name: ada, token: short}", "account 1: a token is at least 16"),
        ("- {name: ada, org: acme}", "unknown key 'org'"),
    ],
)
def test_a_wrong_accounts_file_is_one_message(tmp_path, text, complaint):
    accounts = tmp_path / "accounts.yaml"
    accounts.write_text(text)
    options = ["serve", "--root", str(tmp_path / "hub"), "--accounts", str(accounts)]
    result = CliRunner().invoke(cli, options)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert str(accounts) in result.stderr


def test_a_port_that_is_taken_is_one_message(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(cli, ["serve", "--root", str(tmp_path), "--port", port])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: cannot listen on port {port} of 127.0.0.1")
    assert "Choose another --port" in result.stderr


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--certificate", "FILE", "--key", "FILE"], "cannot be used for HTTPS"),
        (["--key", "FILE"], "give --certificate, too"),
        (["--public-url", "hub"], "is not a public address"),
        (["--jobs", "--host", "192.0.2.1"], "not for a hub that others can reach"),
        (["--jobs", "--public-url", "https://hub.example.org"], "that others can reach"),
    ],
)
def test_what_the_network_cannot_be_is_one_message(tmp_path, options, complaint):
    file = tmp_path / "key.pem"
    file.write_text("not a key")
    words = [str(file) if word == "FILE" else word for word in options]
    result = CliRunner().invoke(cli, ["serve", "--root", str(tmp_path / "hub"), *words])
    assert result.exit_code == 2
    assert complaint in result.stderr
