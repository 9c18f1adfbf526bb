"""A base that holds its weights plain and as fp16: a card says which set an adapter is merged into."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from ggez_hub.cli.main import cli
from ggez_hub.digests import sha256_file
from ggez_hub.embedded.store import HubStore
from ggez_hub.registry.lock import read_lock

from ..families.architectures import LLAMA_MODEL, write_adapter, write_base, write_shards
from ..merging.exactness import assert_exact
from ..worlds import serving
from .declared import BASE, declare, register, upload

PATHS = ("adapter_config.json", "adapter_model.safetensors")
PLAIN = ("model.safetensors",)
FP16 = tuple(f"model.fp16-0000{n}-of-00002.safetensors" for n in (1, 2))


@pytest.fixture
def store(tmp_path):
    with HubStore.open(tmp_path / "store") as store:
        yield store


def both(folder):
    """A llama in float32, and in float16 in shards beside it."""
    folder.mkdir()
    write_base(folder, LLAMA_MODEL, torch.float32)
    state = load_file(folder / "model.safetensors")
    write_shards(folder, {k: t.half() for k, t in state.items()}, 2, variant="fp16")
    return folder


def state_of(folder, paths):
    return {name: t for path in paths for name, t in load_file(folder / path).items()}


def test_the_set_of_the_card_is_fetched_and_merged(store, tmp_path):
    base = both(tmp_path / "base")
    adapter = write_adapter(tmp_path / "adapter", LLAMA_MODEL.build(), ["q_proj", "down_proj"])
    config = json.loads((adapter / PATHS[0]).read_text())
    (adapter / PATHS[0]).write_text(
        json.dumps(config | {"base_model_name_or_path": BASE, "auto_mapping": None})
    )
    (adapter / "README.md").unlink()
    upload(store, BASE, base)
    revision = upload(store, "real/regional", adapter)

    def pull(paths, out):
        document = declare("vlm", "lora", base, adapter, revision=revision, paths=PATHS)
        chosen = {path: sha256_file(base / path) for path in paths}
        stated = document.card.base.model_copy(update={"weights": chosen})
        register(store, replace(document, card=document.card.model_copy(update={"base": stated})))
        with serving(store) as endpoint:
            arguments = ["pull", "--hub", endpoint, "--region", "th", "--beta", "0.5", "-o", out]
            result = CliRunner().invoke(cli, list(map(str, arguments)))
        assert result.exit_code == 0, result.output
        model = out / "vlm"
        assert {p.name for p in model.glob("*.safetensors")} == set(paths)
        indexes = {p.name for p in model.glob("*.index*.json")}
        assert indexes == ({"model.safetensors.index.fp16.json"} if paths == FP16 else set())
        before = state_of(base, paths)
        delta = {
            key.removeprefix("base_model.model."): t.double()
            for key, t in load_file(adapter / PATHS[1]).items()
        }
        regional = {name: t.double() for name, t in before.items()}
        for name, wide in regional.items():
            module = name.removesuffix(".weight")
            if f"{module}.lora_A.weight" in delta:
                a, b = delta[f"{module}.lora_A.weight"], delta[f"{module}.lora_B.weight"]
                regional[name] = wide + 1.5 * b @ a
        assert len(assert_exact(before, state_of(model, paths), regional, 0.5)) == 4
        return read_lock(out / "ggez.lock").outputs

    first = pull(FP16, tmp_path / "first")
    cached = {p.name for p in Path(os.environ["HF_HOME"]).rglob("*.safetensors")}
    assert set(FP16) <= cached
    assert PLAIN[0] not in cached
    pull(PLAIN, tmp_path / "plain")
    # The cache has both sets now: that changes nothing.
    assert pull(FP16, tmp_path / "again") == first
