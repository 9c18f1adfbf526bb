"""A hub or a network that fails: one clear error, nothing half-made, and a repeat succeeds."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from huggingface_hub import file_download

from ggez_hub.cli.main import cli

from ..faults import wire

WEIGHTS = "adapter_model.safetensors"


def pull(endpoint, out):
    return CliRunner().invoke(cli, ["pull", "--region", "th", "--hub", endpoint, "-o", str(out)])


def failed(result, out):
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    assert not out.exists()
    assert not list(out.parent.glob(".*partial"))
    return result.stderr


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    """The client waits between its own retries; here nothing gets better by waiting."""
    monkeypatch.setattr(file_download.time, "sleep", lambda _: None)


@pytest.mark.parametrize("marker", [b"visual.", b'"siblings"'], ids=["weights", "listing"])
def test_a_hub_that_dies_in_mid_answer(seeded, tmp_path, marker):
    def die_at(data):
        return None if marker in data else data

    with wire(seeded.endpoint, die_at) as line:
        message = failed(pull(line.endpoint, tmp_path / "out"), tmp_path / "out")
    assert "hub could not be reached" in message
    assert pull(seeded.endpoint, tmp_path / "out").exit_code == 0


def test_a_hub_that_is_not_there(tmp_path):
    message = failed(pull("http://127.0.0.1:9", tmp_path / "out"), tmp_path / "out")
    assert "hub could not be reached" in message


def test_a_byte_that_changes_on_the_way(seeded, world, tmp_path):
    tail = (world / "embedding" / "th" / WEIGHTS).read_bytes()[-64:]

    def flip(data):
        return data.replace(tail, tail[:-1] + bytes([tail[-1] ^ 1]))

    with wire(seeded.endpoint, flip) as line:
        message = failed(pull(line.endpoint, tmp_path / "out"), tmp_path / "out")
    assert WEIGHTS in message
    assert "is not the file that was recorded" in message
    assert pull(seeded.endpoint, tmp_path / "out").exit_code == 0
