"""LoRA files with beta folded in: diffusers' own loader makes the merged form of them."""

from __future__ import annotations

import json

import peft
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ggez_hub.merging import Adapter, BadAdapter, merge
from ggez_hub.merging.adapters.lora_file import lora_path
from ggez_hub.merging.forms import ADAPTER_FORMS, FormBase

from .loras import FAMILY, load, regional_by_diffusers, weights
from .pipelines import DENOISER
from .styles import CASES
from .test_exactness import ulp

BETA = 0.7
# What a form cannot hold, by a word of the reason.
REFUSED = {
    ("sd15: PEFT keys, LoraConfig in the metadata", "peft"): "text_encoder",
    ("sd15: PEFT keys, LoraConfig in the metadata", "kohya"): "q_proj of the text_encoder",
    ("sd15: diffusers keys", "peft"): "text_encoder",
    ("sd15: kohya, conv too", "peft"): "text_encoder",
    ("sdxl: PEFT keys, rsLoRA", "peft"): "text_encoder",
    ("sdxl: PEFT keys, rsLoRA", "kohya"): "k_proj of the text_encoder_2",
    ("sdxl: kohya, conv too", "peft"): "text_encoder",
    ("sd3: PEFT keys", "peft"): "text_encoder_2",
    ("sd3: PEFT keys", "kohya"): "under none of kohya's names",
    ("sd3: diffusers keys", "kohya"): "under none of kohya's names",
    ("flux: PEFT keys", "peft"): "text_encoder",
    ("flux: PEFT keys", "kohya"): "proj_mlp",
    ("flux: kohya", "peft"): "text_encoder",
}


# Forms that a pair of matrices with a scale cannot say.
NO_PAIRS = [name for name in CASES if any(word in name for word in ("DoRA", "biases", "LoKr"))]


@pytest.mark.parametrize(
    ("name", "form"),
    # A LoKr has one: test_lycoris_forms.py.
    [(n, f) for n in NO_PAIRS for f in ADAPTER_FORMS if (f, "LoKr" in n) != ("kohya", True)],
)
def test_what_is_no_plain_lora_is_refused(bases, tmp_path, name, form):
    base = bases[CASES[name].pipeline]
    adapter = CASES[name].write(base, tmp_path)
    with pytest.raises(BadAdapter, match="not a plain LoRA") as problem:
        write(form, adapter, base, tmp_path / "out")
    assert "merged form" in problem.value.hint


@pytest.fixture(scope="module", params=[name for name in CASES if name not in NO_PAIRS])
def case(request, bases, tmp_path_factory):
    """A name, the pipeline, its folder, a LoRA file for it, and the merged form at BETA."""
    this, folder = CASES[request.param], tmp_path_factory.mktemp("lora")
    base = bases[this.pipeline]
    path = this.write(base, folder)
    merge(base, [Adapter(path, BETA)], folder / "merged", FAMILY)
    return request.param, this.pipeline, base, path, weights(folder / "merged")


def write(form, adapter, base, out, beta=BETA):
    out.mkdir(parents=True)
    weighted = Adapter(adapter, beta)
    ADAPTER_FORMS[form].write(weighted, FormBase("org/base", "a" * 40, FAMILY, base), out)
    return out


def assert_equal(base, fused, merged, *, units=1.0):
    """`fused` (float64) is `merged` (stored) within `units` in the last place, and not the base."""
    before, changed = weights(base), 0
    for key, tensor in fused.items():
        stored, wide = merged[key], before[key].double()
        largest = torch.stack([wide.abs(), (stored.double() - wide).abs(), stored.double().abs()])
        error = (tensor - stored.double()).abs()
        assert (error <= units * ulp(largest.max(0).values, stored.dtype)).all(), key
        changed += not torch.equal(stored, before[key])
    assert changed > 3


@pytest.mark.parametrize("form", ["diffusers", "kohya"])
def test_load_lora_weights_gives_the_merged_form(case, form, tmp_path):
    name, _, base, path, merged = case
    if (name, form) in REFUSED:
        with pytest.raises(BadAdapter, match=REFUSED[name, form]) as problem:
            write(form, path, base, tmp_path / "out")
        assert "--as" in problem.value.hint
        return
    written = lora_path(write(form, path, base, tmp_path / "out"))
    fused, _ = regional_by_diffusers(base, written)
    # An alpha is a float32 in a kohya file, and diffusers rounds Flux's into the matrices.
    assert_equal(base, fused, merged, units=3 if form == "kohya" else 1.01)


def test_a_peft_folder_of_the_denoiser_gives_the_merged_form(case, tmp_path):
    name, kind, base, path, merged = case
    if (name, "peft") in REFUSED:
        with pytest.raises(BadAdapter, match=REFUSED[name, "peft"]) as problem:
            write("peft", path, base, tmp_path / "out")
        assert "--as" in problem.value.hint
        return
    folder = write("peft", path, base, tmp_path / "out")
    denoiser = getattr(load(base), DENOISER[kind]).double()
    wrapped = peft.PeftModel.from_pretrained(denoiser, folder, autocast_adapter_dtype=False)
    state = wrapped.double().merge_and_unload().state_dict()
    fused = {f"{DENOISER[kind]}/{key}": tensor for key, tensor in state.items()}
    assert_equal(base, fused, merged, units=1.01)


def test_matrices_are_copied(case, tmp_path):
    """Names change, bytes do not, unless diffusers' names are for parts of a fused module."""
    name, _, base, path, _ = case
    written = lora_path(write("diffusers", path, base, tmp_path / "out"))
    before = sorted(
        tensor.numpy().tobytes()
        for key, tensor in load_file(path).items()
        if not key.endswith(".alpha")
    )
    after = sorted(tensor.numpy().tobytes() for tensor in load_file(written).values())
    assert before == after, name


def test_the_metadata_is_diffusers_own(bases, tmp_path):
    this = CASES["sd15: PEFT keys, LoraConfig in the metadata"]
    path = this.write(bases["sd15"], tmp_path)
    written = lora_path(write("diffusers", path, bases["sd15"], tmp_path / "out"))
    with safe_open(written, framework="pt") as file:
        config = json.loads(file.metadata()["lora_adapter_metadata"])
    assert config["unet.lora_alpha"] == pytest.approx(6 * BETA)
    assert config["text_encoder.lora_alpha"] == pytest.approx(6 * BETA)
