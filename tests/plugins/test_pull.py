"""A family and a merge method of a plug-in, pulled over HTTP, and the same without the plug-in."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.embedded.store import HubStore
from ggez_hub.plugins import NO_PLUGINS
from ggez_hub.registry.lock import read_lock

from ..models import write_lora, write_open_clip
from ..registry.declared import BASE, declare, register, upload
from ..worlds import serving
from .distribution import installed

__all__ = ["installed"]

POINTS = {
    "families": ["speech = somebody_else:FAMILY"],
    "merge_methods": ["negated = somebody_else:negated"],
}
FILES = ("adapter_config.json", "adapter_model.safetensors")


@pytest.fixture
def endpoint(installed, tmp_path):
    """A hub with an adapter of the plug-in's family for Thailand."""
    installed(POINTS)
    (tmp_path / "base").mkdir()
    base = write_open_clip(tmp_path / "base", torch.float32, buffer=False)
    lora = write_lora(tmp_path / "lora", targets=["c_fc"])
    config = lora / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"auto_mapping": None}))
    with HubStore.open(tmp_path / "store") as store:
        upload(store, BASE, base)
        revision = upload(store, "real/regional", lora)
        register(store, declare("speech", "lora", base, lora, revision=revision, paths=FILES))
        with serving(store) as url:
            yield url


def pull(endpoint, out, *arguments):
    command = ["pull", "--hub", endpoint, "--region", "th", "-o", str(out), *arguments]
    return CliRunner().invoke(cli, command)


def test_pull(endpoint, installed, tmp_path, monkeypatch):
    out = tmp_path / "out"
    asked = ("--family", "speech", "--method", "negated", "--beta", "0.5")
    done = pull(endpoint, out, *asked)
    assert done.exit_code == 0, done.output
    assert (out / "speech" / "open_clip_model.safetensors").is_file()
    lock = read_lock(out / "ggez.lock")
    assert [record.entry_point for record in lock.resolution.plugins] == [
        "somebody_else:FAMILY", "somebody_else:negated",
    ]  # fmt: skip

    shutil.rmtree(tmp_path / "site")
    installed(POINTS, version="2.0.0")
    again = pull(endpoint, tmp_path / "again", "--locked", "--lock", str(out / "ggez.lock"))
    assert again.exit_code == 1
    assert "somebody-else 1.2.3" in again.stderr
    assert "somebody-else 2.0.0" in again.stderr

    monkeypatch.setenv(NO_PLUGINS, "1")
    without = pull(endpoint, tmp_path / "without", *asked)
    assert without.exit_code == 2
    assert "no family 'speech'" in without.stderr
