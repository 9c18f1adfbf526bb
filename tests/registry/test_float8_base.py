"""A pull of an adapter whose base is in float8: refused, or stored as bfloat16."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.registry.lock import read_lock

from ..families.architectures import LLAMA_MODEL, write_adapter, write_base
from ..merging.test_float8 import quantise
from ..worlds import serving
from .declared import BASE, declare, register, upload


@pytest.mark.slow
def test_a_pull_stores_it_as_bfloat16(store, tmp_path):
    base, adapter, out = tmp_path / "base", tmp_path / "adapter", tmp_path / "out"
    base.mkdir()
    adapter.mkdir()
    quantise(write_base(base, LLAMA_MODEL, torch.bfloat16), "block")
    write_adapter(adapter, LLAMA_MODEL.build(), ["q_proj", "down_proj"])
    config = json.loads((adapter / "adapter_config.json").read_text())
    del config["auto_mapping"]
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    upload(store, BASE, base)
    revision = upload(store, "real/regional", adapter)
    paths = ["adapter_config.json", "adapter_model.safetensors"]
    register(store, declare("vlm", "lora", base, adapter, revision=revision, paths=paths))
    run = CliRunner().invoke
    with serving(store) as endpoint:
        pull = ["pull", "--hub", endpoint, "--region", "th"]
        asked = [*pull, "--family", "vlm", "--beta", "0.4", "-o"]
        refused = run(cli, [*asked, str(out)])
        assert refused.exit_code == 1
        assert "--out-dtype bfloat16" in refused.output
        done = run(cli, [*asked, str(out), "--out-dtype", "bfloat16"])
        assert done.exit_code == 0, done.output
        again = ["-o", str(tmp_path / "again"), "--locked", "--lock", str(out / "ggez.lock")]
        assert run(cli, [*pull, *again]).exit_code == 0
        assert run(cli, [*pull, *again, "--out-dtype", "bfloat16"]).exit_code == 2
        assert run(cli, ["verify", "--hub", endpoint, str(out)]).exit_code == 0
        form = [*asked, str(tmp_path / "form"), "--as", "peft"]
        assert run(cli, [*form, "--out-dtype", "bfloat16"]).exit_code == 2
    resolution = read_lock(out / "ggez.lock").resolution
    other = resolution.model_copy(update={"out_dtype": None})
    assert resolution.out_dtype == "bfloat16"
    assert resolution.merge_digest != other.merge_digest
    assert "out_dtype" not in other.model_dump()
    assert "float8 in the base is bfloat16" in (out / "vlm" / "README.md").read_text()
    merge(
        base, [Adapter(adapter, 0.4)], tmp_path / "merged", get_family("vlm"), out_dtype="bfloat16"
    )
    for path in (tmp_path / "merged").glob("*.safetensors"):
        for pulled in (out, tmp_path / "again"):
            assert (pulled / "vlm" / path.name).read_bytes() == path.read_bytes()
