"""An adapter form with betas by part, loaded at scale 1, is the merged form with the same betas."""

from __future__ import annotations

import json
import warnings
from itertools import cycle

import peft
import pytest
import torch
from safetensors.torch import load_file

from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, BadAdapter, merge, write_adapter
from ggez_hub.merging.adapters.lora_file import lora_path
from ggez_hub.merging.betas_by_part import BetasByPart
from ggez_hub.merging.merge import tensor_names

from ..diffusion.loras import regional_by_diffusers, weights, write_by_diffusers
from ..diffusion.pipelines import write_pipeline
from ..diffusion.test_lycoris import factors, module_base
from ..families.architectures import VLM, targets, write_base
from ..families.architectures import write_adapter as write_lora
from .conftest import DTYPES
from .exactness import load_pair, peft_regional, ulp, write_peft
from .test_peft_forms import FORMS, lora

EMBEDDING, SEEING, DRAWING = (get_family(name) for name in ("embedding", "vlm", "diffusion"))
BETA = 0.7
PARTS = [
    {"tensors": r"^visual\.transformer", "times": 0.5},
    {"tensors": r"resblocks\.(\d+)\.", "tilt": 1},
    {"tensors": "token_embedding|ln_final", "beta": 0.3},
]


def by_tensor(base, family, parts):
    return BetasByPart.model_validate({"parts": parts}).on(tensor_names(base, family)).at(BETA)


def assert_close(form, merged, stored, units=1.01):
    """`form` (float64) is `merged` (stored) within `units` in the last place, and not the base."""
    changed = 0
    for name, tensor in merged.items():
        if not tensor.is_floating_point() or name not in form:
            continue
        wide, before = tensor.double(), stored[name].double()
        scale = torch.stack([wide.abs(), (wide - before).abs(), before.abs()]).max(0).values
        error = (form[name].double() - wide).abs()
        assert (error <= units * ulp(scale, tensor.dtype)).all(), name
        changed += not torch.equal(tensor, stored[name])
    assert changed > 1


SCALED = [name for name in FORMS if "dora" not in name and name != "parameters"]


@pytest.mark.parametrize(("form", "dtype"), [*zip(SCALED, cycle(DTYPES), strict=False)])
def test_every_form_of_peft(form, dtype, bases, tmp_path):
    base = bases[dtype]
    adapter = write_peft(tmp_path / "adapter", FORMS[form])
    weighted = [Adapter(adapter, BETA, by_tensor(base, EMBEDDING, PARTS))]
    write_adapter(base, weighted, tmp_path / "out", EMBEDDING, "peft")
    merge(base, weighted, tmp_path / "merged", EMBEDDING)
    stored, merged = load_pair(base, tmp_path / "merged")
    assert_close(peft_regional(stored, tmp_path / "out"), merged, stored)
    # One scale for all would not do.
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["alpha_pattern"]


def test_one_alpha_of_two_betas_is_refused(bases, tmp_path):
    base = bases["F32"]
    adapter = write_peft(tmp_path / "adapter", FORMS["lora_bias"])
    betas = by_tensor(base, EMBEDDING, [{"tensors": r"c_fc\.bias$", "beta": 0}])
    with pytest.raises(BadAdapter, match=r"weight and the bias of '.*c_fc'.*0\.7 and 0"):
        write_adapter(base, [Adapter(adapter, BETA, betas)], tmp_path / "out", EMBEDDING, "peft")
    assert not (tmp_path / "out").exists()


def test_a_dora_is_refused_for_what_it_is(bases, tmp_path):
    adapter = write_peft(tmp_path / "adapter", FORMS["dora"])
    weighted = [Adapter(adapter, BETA, by_tensor(bases["F32"], EMBEDDING, PARTS))]
    with pytest.raises(BadAdapter, match="use_dora"):
        write_adapter(bases["F32"], weighted, tmp_path / "out", EMBEDDING, "peft")


def test_a_vision_language_model_whose_checkpoint_has_other_names(tmp_path):
    qwen = next(a for a in VLM if a.id == "qwen2_vl-hub")
    (tmp_path / "base").mkdir()
    base = write_base(tmp_path / "base", qwen, torch.bfloat16)
    adapter = write_lora(tmp_path / "lora", qwen.build(), targets(qwen.build()))
    # By the names of the checkpoint, not those in memory, which PEFT's config has.
    parts = [{"tensors": r"^visual\.", "beta": 0}, {"tensors": r"^model\.layers\.(\d+)", "tilt": 1}]
    weighted = [Adapter(adapter, BETA, by_tensor(base, SEEING, parts))]
    write_adapter(base, weighted, tmp_path / "out", SEEING, "peft")
    merge(base, weighted, tmp_path / "merged", SEEING)
    states = []
    for folder in (base, tmp_path / "merged"):
        model = qwen.model_class.from_pretrained(folder, dtype=torch.bfloat16)
        states.append(model.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = qwen.model_class.from_pretrained(base, dtype=torch.float64)
        form = peft.PeftModel.from_pretrained(model, tmp_path / "out", autocast_adapter_dtype=False)
        merged = form.double().merge_and_unload().state_dict()
    assert_close(merged, states[1], states[0])
    assert any("visual" in name for name in merged)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return write_pipeline("sd15", tmp_path_factory.mktemp("sd15"))


ENCODER = ["q_proj", "k_proj", "v_proj", "out_proj"]


@pytest.mark.parametrize("form", ["diffusers", "kohya"])
def test_a_lora_of_a_pipeline(pipeline, form, tmp_path):
    adapter = write_by_diffusers(
        pipeline, tmp_path / "lora", {"unet": ["to_q", "to_k", "to_v"], "text_encoder": ENCODER}
    )
    parts = [
        {"tensors": "^text_encoder/", "times": 0.5},
        # Left out of the file, and half: that the ranks of kohya's form can be padded for.
        {"tensors": r"^unet/mid_block", "beta": 0},
        {"tensors": r"^unet/up_blocks", "times": 0.5},
    ]
    weighted = [Adapter(adapter, BETA, by_tensor(pipeline, DRAWING, parts))]
    write_adapter(pipeline, weighted, tmp_path / "out", DRAWING, form)
    merge(pipeline, weighted, tmp_path / "merged", DRAWING)
    written = lora_path(tmp_path / "out")
    assert not any("mid_block" in key for key in load_file(written))
    form_in_use, _ = regional_by_diffusers(pipeline, written)
    assert_close(form_in_use, weights(tmp_path / "merged"), weights(pipeline), units=3)
    # The form of a file in kohya's names is the same again.
    if form == "kohya":
        again = [Adapter(written, 1.0, {name: 0.5 for name in weights(pipeline) if "unet" in name})]
        write_adapter(pipeline, again, tmp_path / "again", DRAWING, "kohya")
        merge(pipeline, again, tmp_path / "merged again", DRAWING)
        form_in_use, _ = regional_by_diffusers(pipeline, lora_path(tmp_path / "again"))
        merged = weights(tmp_path / "merged again")
        assert_close(form_in_use, merged, weights(pipeline), units=3)


def test_a_lora_of_the_denoiser_as_a_peft_folder(pipeline, tmp_path):
    adapter = write_by_diffusers(pipeline, tmp_path / "lora", {"unet": ["to_q", "to_k", "to_v"]})
    parts = [{"tensors": r"^unet/down_blocks\.(\d)", "tilt": 1}, {"tensors": "to_v", "times": 2}]
    weighted = [Adapter(adapter, BETA, by_tensor(pipeline, DRAWING, parts))]
    write_adapter(pipeline, weighted, tmp_path / "out", DRAWING, "peft")
    merge(pipeline, weighted, tmp_path / "merged", DRAWING)
    # The folder is an adapter of the pipeline's denoiser: merged at 1 it is the same model.
    merge(pipeline, [Adapter(tmp_path / "out", 1.0)], tmp_path / "again", DRAWING)
    form = {name: tensor.double() for name, tensor in weights(tmp_path / "again").items()}
    assert_close(form, weights(tmp_path / "merged"), weights(pipeline), units=2)


def test_alphas_that_diffusers_would_mistake_are_refused_in_kohyas_form(pipeline, tmp_path):
    adapter = write_by_diffusers(pipeline, tmp_path / "lora", {"unet": ["to_q", "to_k", "to_v"]})
    betas = by_tensor(pipeline, DRAWING, [{"tensors": "attn1", "times": 0.37}])
    with pytest.raises(BadAdapter, match="different alphas"):
        write_adapter(pipeline, [Adapter(adapter, BETA, betas)], tmp_path / "out", DRAWING, "kohya")


def test_nothing_is_left_of_an_adapter_whose_betas_are_all_zero(pipeline, tmp_path):
    adapter = write_by_diffusers(pipeline, tmp_path / "lora", {"unet": ["to_q"]})
    betas = by_tensor(pipeline, DRAWING, [{"tensors": "to_q", "beta": 0}])
    with pytest.raises(BadAdapter, match="every module of the adapter has the beta 0"):
        write_adapter(
            pipeline, [Adapter(adapter, BETA, betas)], tmp_path / "out", DRAWING, "diffusers"
        )


@pytest.mark.parametrize("form", ["LoHa", "LoKr of two whole factors", "difference"])
def test_lycoris_in_kohyas_names(form, tmp_path):
    from safetensors.torch import save_file

    torch.manual_seed(3)
    shapes = {"diff": (6, 8)} if form == "difference" else factors(form, 6, 8, 3, ())
    tensors = {f"{name}.weight": torch.randn(6, 8) for name in ("m", "n")}
    base = module_base(tmp_path / "base", tensors)
    state = {
        f"lora_unet_{name}.{part}": torch.randn(shape)
        for name in ("m", "n")
        for part, shape in shapes.items()
    }
    save_file(state, tmp_path / "a.safetensors")
    weighted = [Adapter(tmp_path / "a.safetensors", BETA, {"unet/m.weight": 0.2})]
    write_adapter(base, weighted, tmp_path / "out", DRAWING, "kohya")
    merge(base, weighted, tmp_path / "merged", DRAWING)
    merge(base, [Adapter(tmp_path / "out", 1.0)], tmp_path / "again", DRAWING)
    form_in_use = {name: t.double() for name, t in weights(tmp_path / "again").items()}
    assert_close(form_in_use, weights(tmp_path / "merged"), weights(base), units=3)


def test_the_command_writes_a_form_by_part(bases, tmp_path):
    from click.testing import CliRunner

    from ggez_hub.cli.main import cli

    base = bases["F16"]
    adapter = write_peft(tmp_path / "adapter", lora())
    (tmp_path / "betas.yaml").write_text(
        "kind: betas\nparts:\n- {tensors: '^visual\\.', times: 0.5}\n"
    )
    arguments = [
        "merge", "--base", base, "--adapter", adapter, "--beta", 0.5, "--as", "peft",
        "--betas", tmp_path / "betas.yaml", "-o", tmp_path / "out",
    ]  # fmt: skip
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    alphas = {*config["alpha_pattern"].values(), config["lora_alpha"]}
    assert alphas == {6 * 0.25, 6 * 0.5}
