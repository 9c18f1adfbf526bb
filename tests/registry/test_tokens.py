"""The user's token goes to HF_ENDPOINT and nowhere else, and into no file."""

from __future__ import annotations

from click.testing import CliRunner
from huggingface_hub import constants

from ggez_hub.cli.main import cli
from ggez_hub.hub import Hub

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
