"""PEFT folders of a pipeline's denoiser alone, as training scripts with PEFT write them."""

from __future__ import annotations

import warnings

import peft
import pytest
import torch

from ggez_hub.merging import Adapter, merge

from .loras import FAMILY, load, weights
from .test_exactness import bits, ulp


@pytest.mark.parametrize(
    ("name", "component", "options"),
    [
        (
            "sdxl",
            "unet",
            {"target_modules": ["to_q", "conv1", "proj_in"], "rank_pattern": {"to_q": 3}},
        ),
        ("sdxl", "unet", {"target_modules": ["to_k", "conv2"], "use_dora": True}),
        ("flux", "transformer", {"target_modules": ["to_q", "proj_out"], "use_rslora": True}),
    ],
)
def test_within_one_ulp_of_peft_in_float64(bases, tmp_path, name, component, options):
    torch.manual_seed(4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(
            getattr(load(bases[name]), component), peft.LoraConfig(r=4, lora_alpha=6, **options)
        )
        for key, parameter in model.named_parameters():
            if "lora_A" in key or "lora_B" in key:
                parameter.data.normal_(0, 0.3)
        model.save_pretrained(tmp_path / "adapter")
        fresh = getattr(load(bases[name]), component).double()
        wrapped = peft.PeftModel.from_pretrained(
            fresh, tmp_path / "adapter", autocast_adapter_dtype=False
        )
    regional = wrapped.double().merge_and_unload().state_dict()
    merge(bases[name], [Adapter(tmp_path / "adapter", 0.6)], tmp_path / "out", FAMILY)
    after, changed = weights(tmp_path / "out"), 0
    for key, stored in weights(bases[name]).items():
        part, _, inner = key.partition("/")
        wide = stored.double()
        if part != component or torch.equal(regional[inner], wide):
            assert torch.equal(bits(after[key]), bits(stored)), key
            continue
        changed += 1
        delta = 0.6 * (regional[inner] - wide)
        reference = wide + delta
        largest = torch.stack([wide.abs(), delta.abs(), reference.abs()]).max(0).values
        assert ((after[key].double() - reference).abs() <= ulp(largest, stored.dtype)).all(), key
    assert changed > 2
