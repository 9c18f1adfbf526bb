"""Extraction from models of all families: what it reports is what a merge gives back."""

from __future__ import annotations

import math
import shutil
import warnings

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from ggez_hub.families import detect_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.merging.deltas import WeightIndex
from ggez_hub.merging.extraction import extract_lora

from ..diffusion.pipelines import write_pipeline
from ..families.architectures import EMBEDDING, VLM, write_base

# nn.MultiheadAttention in a renamed tower; batch norms and depthwise convolutions; a tied table.
ARCHITECTURES = {
    a.id: a for a in (*EMBEDDING, *VLM) if a.id in {"siglip2", "gemma3-hub", "fast_vlm"}
}


def tune(base, tuned, family):
    """Every floating tensor moved, in float32."""
    shutil.copytree(base, tuned)
    torch.manual_seed(5)
    for path in family.layout(tuned).weights:
        state = load_file(tuned / path)
        moved = {
            name: t.float() + 0.02 * torch.randn(t.shape) if t.is_floating_point() else t
            for name, t in state.items()
        }
        save_file(moved, tuned / path, metadata={"format": "pt"})
    return tuned


def check(base, tmp_path):
    family = detect_family(base)
    tuned = tune(base, tmp_path / "tuned", family)
    report = extract_lora(base, tuned, tmp_path / "lora", family, 4)
    merge(base, [Adapter(tmp_path / "lora", 1.0)], tmp_path / "out", family)
    before, wanted, got = (
        WeightIndex(folder, family.layout(folder).weights)
        for folder in (base, tuned, tmp_path / "out")
    )
    left = {tensor.tensor for tensor in report.left_out}
    norm = error = 0.0
    for name in before:
        start, aim, end = (index.read(name).double() for index in (before, wanted, got))
        norm += (aim - start).square().sum().item()
        error += (aim - end).square().sum().item()
        assert torch.equal(start, end) == (name in left or torch.equal(start, aim)), name
    assert math.sqrt(error / norm) == pytest.approx(report.relative, abs=1e-5)
    return report, left


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_transformers(name, tmp_path):
    architecture = ARCHITECTURES[name]
    base = tmp_path / "base"
    base.mkdir()
    write_base(base, architecture, torch.float32)
    report, left = check(base, tmp_path)
    assert len(left) <= 3
    assert sum(bool(e.rank) for e in report.extracted) >= 30
    # PEFT finds every key that it looks for, and knows what to do with every key that is there.
    model = architecture.model_class.from_pretrained(base)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(model, peft.PeftConfig.from_pretrained(tmp_path / "lora"))
        known = set(peft.get_peft_model_state_dict(wrapped))
    stored = set(load_file(tmp_path / "lora" / "adapter_model.safetensors"))
    assert stored <= known
    assert all(key.endswith((".bias", ".base_layer.weight")) for key in known - stored)


def test_a_pipeline(tmp_path):
    (tmp_path / "base").mkdir()
    base = write_pipeline("sd15", tmp_path / "base")
    report, left = check(base, tmp_path)
    assert all(name.startswith(("text_encoder/", "vae/")) for name in left)
    convolutions = [e for e in report.extracted if e.rank and "conv" in e.tensor]
    assert convolutions
