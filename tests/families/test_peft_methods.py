"""PEFT's other methods on models whose checkpoints have other names than their modules."""

from __future__ import annotations

import warnings

import peft
import pytest
import torch

from ggez_hub.families import detect_family
from ggez_hub.merging import Adapter, merge

from ..merging.exactness import assert_exact, write_peft
from .architectures import CLIP, GEMMA3, GEMMA3_HUB, LLAVA_HUB, targets, write_base


@pytest.mark.parametrize("architecture", [CLIP, GEMMA3, GEMMA3_HUB, LLAVA_HUB], ids=lambda a: a.id)
def test_equals_peft(architecture, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    write_base(base, architecture, torch.bfloat16, shards=2)
    model = architecture.build()
    layers = [name for name in targets(model) if type(model.get_submodule(name)) is torch.nn.Linear]
    config = peft.HiraConfig(r=4, target_modules=layers[::3])
    adapter = write_peft(tmp_path / "adapter", config, model=model)
    merge(base, [Adapter(adapter, 0.5)], tmp_path / "out", detect_family(base))
    kind = architecture.model_class
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wide = kind.from_pretrained(base, dtype=torch.float64)
        wrapped = peft.PeftModel.from_pretrained(wide, adapter, autocast_adapter_dtype=False)
        regional = wrapped.double().merge_and_unload().state_dict()
    before, after = (
        kind.from_pretrained(folder, dtype=torch.bfloat16).state_dict()
        for folder in (base, tmp_path / "out")
    )
    changed = assert_exact(before, after, regional, 0.5)
    assert changed == {f"{name}.weight" for name in layers[::3]}
