"""Every form that PEFT writes and can merge equals PEFT's own merge of a float64 copy."""

from __future__ import annotations

from itertools import cycle

import peft
import pytest

from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge

from .conftest import DTYPES
from .exactness import assert_exact, load_pair, peft_regional, write_peft

EMBEDDING = get_family("embedding")
MLP = r"(visual\.)?transformer\.resblocks\..*\.(c_fc|c_proj)"
ALL = MLP + r"|token_embedding|visual.conv1"


def lora(**options):
    return peft.LoraConfig(**{"r": 4, "lora_alpha": 6, "target_modules": ALL, **options})


FORMS = {
    "rslora": lora(use_rslora=True, rank_pattern={"c_fc": 3}),
    "patterns": lora(
        rank_pattern={"^transformer.resblocks.0.mlp.c_fc": 2, "c_fc": 3},
        alpha_pattern={"resblocks.1.mlp.c_proj": 11, "c_proj": 0.5},
    ),
    "layers_to_transform": lora(
        target_modules=["c_fc"], layers_to_transform=[1], layers_pattern="resblocks"
    ),
    "dora": lora(use_dora=True),
    "dora, rslora": lora(use_dora=True, use_rslora=True, alpha_pattern={"c_fc": 1}),
    "bias all": lora(bias="all"),
    "bias lora_only": lora(bias="lora_only"),
    "lora_bias": lora(target_modules=MLP, lora_bias=True),
    "lora_bias, bias": lora(target_modules=MLP, lora_bias=True, bias="lora_only"),
    "modules_to_save": lora(target_modules=["c_fc"], modules_to_save=["ln_post", "attn"]),
    "modules_to_save with a suffix": lora(target_modules=["c_fc"], modules_to_save=["ln_1"]),
    "trainable tokens": lora(
        target_modules=["c_fc"], trainable_token_indices={"token_embedding": [63, 0, 7]}
    ),
    "eva, exclude": lora(exclude_modules=r".*\.0\..*"),
    "loha": peft.LoHaConfig(r=3, alpha=5, target_modules=MLP + "|visual.conv1"),
    "loha, effective": peft.LoHaConfig(
        r=4, alpha=5, target_modules=MLP + "|visual.conv1", use_effective_conv2d=True
    ),
    "loha, patterns": peft.LoHaConfig(
        r=4, alpha=5, target_modules=MLP, rank_pattern={"c_fc": 2}, alpha_pattern={"c_proj": 1}
    ),
    "lokr": peft.LoKrConfig(r=2, alpha=5, target_modules=MLP + "|visual.conv1"),
    "lokr, whole": peft.LoKrConfig(r=64, alpha=5, target_modules=MLP + "|visual.conv1"),
    "lokr, effective": peft.LoKrConfig(
        r=2, alpha=7, target_modules=MLP + "|visual.conv1", use_effective_conv2d=True
    ),
    "lokr, both": peft.LoKrConfig(
        r=1, alpha=2, target_modules=MLP, decompose_both=True, decompose_factor=4
    ),
    "lokr, modules_to_save": peft.LoKrConfig(
        r=2, alpha=2, target_modules=["c_fc"], modules_to_save=["ln_final"]
    ),
    "parameters": lora(target_modules=["c_fc"], target_parameters=["attn.in_proj_weight"]),
}


@pytest.mark.parametrize(("form", "dtype"), list(zip(FORMS, cycle(DTYPES), strict=False)))
def test_equals_peft(form, dtype, bases, tmp_path):
    adapter = write_peft(tmp_path / "adapter", FORMS[form])
    report = merge(bases[dtype], [Adapter(adapter, 0.7)], tmp_path / "out", EMBEDDING)
    base, out = load_pair(bases[dtype], tmp_path / "out")
    changed = assert_exact(base, out, peft_regional(base, adapter), 0.7)
    assert len(changed) == report.touched > 0
