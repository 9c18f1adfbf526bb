"""Base and adapter in memory answer as the merged folder does, number for number."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from ggez_hub.cli.main import cli
from ggez_hub.evaluation.models import Adapted
from ggez_hub.evaluation.models.embedding_model import open_embedder
from ggez_hub.evaluation.models.generative_model import Posed
from ggez_hub.evaluation.models.vision_model import VisionModel
from ggez_hub.families import detect_family
from ggez_hub.families.pretrained import NotLoaded
from ggez_hub.merging import Adapter, merge
from tests.evaluation import benchmarks as made
from tests.evaluation.benchmarks import png
from tests.evaluation.seers import SEERS, write_seer
from tests.evaluation.towers import CLIP, SIGLIP, write_towers
from tests.families.architectures import write_adapter

BETA = 0.6
LINEAR = ("q_proj", "v_proj", "fc1", "gate_proj")


def write_lora(folder, base, kind="AutoModel"):
    """A LoRA on every tower of the model in a folder."""
    import transformers

    model = getattr(transformers, kind).from_pretrained(base)
    names = [name for name, _ in model.named_modules() if name.endswith(LINEAR)]
    assert len(names) > 4
    write_adapter(folder, model, names)
    return folder


def merged(base, adapter, out, beta=BETA):
    merge(base, [Adapter(adapter, beta)], out, detect_family(base))
    return out


def as_stored(folder, dtype):
    """The same model with its weights stored in another dtype, where rounding shows."""
    path = folder / "model.safetensors"
    save_file({n: t.to(dtype) for n, t in load_file(path).items()}, path, {"format": "pt"})
    return folder


@pytest.mark.parametrize("architecture", [CLIP, SIGLIP], ids=["clip", "siglip"])
def test_towers(architecture, tmp_path):
    base = as_stored(write_towers(tmp_path / "base", architecture), torch.bfloat16)
    adapter = write_lora(tmp_path / "adapter", base)
    family = detect_family(base)
    mine = open_embedder(base, family, Adapted(adapter, BETA))
    theirs = open_embedder(merged(base, adapter, tmp_path / "merged"), family)
    plain = open_embedder(base, family)
    pictures, texts = [png(n) for n in range(5)], ["what is this", "the dish 3"]
    for encode, inputs in (("encode_pictures", pictures), ("encode_texts", texts)):
        found = getattr(mine, encode)(inputs)
        assert np.array_equal(found, getattr(theirs, encode)(inputs))
        assert not np.allclose(found, getattr(plain, encode)(inputs), atol=1e-3)


@pytest.mark.parametrize("name", SEERS)
def test_models_that_write(name, tmp_path):
    base = as_stored(write_seer(tmp_path / "base", name), torch.bfloat16)
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": 5, "bos_token_id": 1}))
    adapter = write_lora(tmp_path / "adapter", base, "AutoModelForImageTextToText")
    family = detect_family(base)
    mine = VisionModel(base, family, Adapted(adapter, BETA))
    theirs = VisionModel(merged(base, adapter, tmp_path / "merged"), family)
    states = mine.model.state_dict(), theirs.model.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    plain = VisionModel(base, family)
    posed = [Posed(png(n), mine.prompt("What is this?"), ("the dish", "is"), 8) for n in range(3)]
    found = mine.log_likelihoods(posed)
    assert found == theirs.log_likelihoods(posed)
    assert found != plain.log_likelihoods(posed)
    assert mine.replies(posed) == theirs.replies(posed)
    assert mine.model.generation_config.eos_token_id == 5


def test_what_is_not_in_the_base_is_not_made_up(tmp_path):
    base = write_towers(tmp_path / "base", SIGLIP)
    adapter = write_lora(tmp_path / "adapter", base)
    path = base / "model.safetensors"
    state = load_file(path)
    state.pop("text_model.head.weight")
    save_file(state, path, {"format": "pt"})
    with pytest.raises(NotLoaded, match="lacks weights of the model"):
        open_embedder(base, detect_family(base), Adapted(adapter, BETA))


def answers(model, data, out, *more):
    result = CliRunner().invoke(
        cli,
        ["eval", str(model), "--suite", "cvqa", "--region", "ph", "-o", str(out), "--data",
         str(data), "--hub", "http://127.0.0.1:9", *more],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    verified = CliRunner().invoke(cli, ["verify", str(out)])
    assert verified.exit_code == 0, verified.output
    rows = pq.read_table(out / "predictions.parquet").to_pylist()
    return {row.pop("beta") for row in rows}, rows


def test_eval_of_base_and_adapter_is_eval_of_the_merge(base, both_lora, tmp_path):
    data = tmp_path / "data"
    made.write_cvqa(data / "afaji" / "cvqa", 30)
    adapted = ("--adapter", str(both_lora), "--beta", str(BETA))
    betas, mine = answers(base, data, tmp_path / "mine", *adapted)
    assert betas == {BETA}
    folder = merged(base, both_lora, tmp_path / "merged")
    assert answers(folder, data, tmp_path / "theirs") == ({0.0}, mine)
    header = json.loads((tmp_path / "mine" / "results.json").read_text())["header"]
    assert list(header["models"]) == ["0.6"]
    # Each beta has answers of its own in the cache.
    other = answers(base, data, tmp_path / "other", "--adapter", str(both_lora), "--beta", "1")
    assert other[1] != mine


def test_adapter_and_beta_go_together(base, tmp_path):
    result = CliRunner().invoke(
        cli, ["eval", str(base), "--suite", "cvqa", "--region", "ph", "-o", str(tmp_path / "out"), "--beta", "1"]
    )  # fmt: skip
    assert result.exit_code == 2
    assert "go together" in result.output
