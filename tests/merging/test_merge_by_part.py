"""A merge with betas by part obeys the exactness rule tensor by tensor, for every kind of adapter."""

from __future__ import annotations

import shutil
import warnings

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, WrongBase, merge
from ggez_hub.merging.betas_by_part import BetasByPart
from ggez_hub.merging.extraction.task_vector import extract_task_vector
from ggez_hub.merging.merge import tensor_names

from ..diffusion.loras import regional_by_diffusers, write_by_diffusers
from ..diffusion.pipelines import write_pipeline
from ..families.architectures import VLM, targets, write_adapter, write_base
from ..models import write_lora, write_open_clip
from .exactness import peft_regional, same_bits, ulp

QWEN = next(a for a in VLM if a.id == "qwen3_vl")
# By family: vision side or encoder apart, blocks by depth, and something that is left alone.
PARTS = {
    "embedding": [
        {"tensors": r"^visual\.conv1", "beta": 0},
        {"tensors": r"^visual\.", "times": 0.5},
        {"tensors": r"^transformer\.resblocks\.(\d+)\.", "tilt": 0.75},
    ],
    "vlm": [
        {"tensors": r"^model\.visual\.merger", "beta": 0.9},
        {"tensors": r"^model\.visual\.", "beta": 0},
        {"tensors": r"layers\.(\d+)\.mlp", "times": 1.5, "tilt": -1},
    ],
    "diffusion": [
        {"tensors": "^text_encoder/", "times": 0.25},
        {"tensors": r"attn2\.to_(k|v)", "beta": 0},
        {"tensors": r"^unet/down_blocks\.(\d+)\.", "beta": 0.6, "tilt": 0.5},
    ],
}
BETA = 0.7


def read(folder, family):
    """Every tensor of a model, as the merge names them."""
    found = {}
    for path in get_family(family).layout(folder).weights:
        prefix = f"{path.rpartition('/')[0]}/" if "/" in path else ""
        found |= {f"{prefix}{k}": t for k, t in load_file(folder / path).items()}
    return found


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """For each family a base, a LoRA on it, and theta_regional of the LoRA in float64."""
    place = tmp_path_factory.mktemp("models")
    for name in ("embedding", "vlm", "diffusion"):
        (place / name).mkdir()
    clip = write_open_clip(place / "embedding", torch.float16)
    lora = write_lora(place / "clip", targets=r".*(c_fc|c_proj|token_embedding|conv1)")
    qwen = write_base(place / "vlm", QWEN, torch.bfloat16, shards=2)
    seeing = write_adapter(place / "qwen", QWEN.build(), targets(QWEN.build()))
    pipeline = write_pipeline("sd15", place / "diffusion")
    drawing = write_by_diffusers(
        pipeline,
        place / "sd15",
        {"unet": ["to_q", "to_k", "to_v"], "text_encoder": ["q_proj", "v_proj", "out_proj"]},
    )
    model = QWEN.model_class.from_pretrained(qwen, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.PeftModel.from_pretrained(model, seeing, autocast_adapter_dtype=False)
    return {
        "embedding": (clip, lora, peft_regional(load_file(clip / "open_clip_model.safetensors"), lora)),
        "vlm": (qwen, seeing, wrapped.double().merge_and_unload().state_dict()),
        "diffusion": (pipeline, drawing, regional_by_diffusers(pipeline, drawing)[0]),
    }  # fmt: skip


@pytest.fixture(scope="session")
def tuned(models, tmp_path_factory):
    """For each family a full fine-tune in which every floating tensor has moved."""
    found = {}
    for family, (base, _, _) in models.items():
        folder = tmp_path_factory.mktemp("tuned") / family
        shutil.copytree(base, folder)
        torch.manual_seed(7)
        for path in get_family(family).layout(folder).weights:
            state = load_file(folder / path)
            moved = {
                k: t + 0.05 * torch.randn_like(t) if t.is_floating_point() else t
                for k, t in state.items()
            }
            save_file(moved, folder / path)
        found[family] = folder
    return found


@pytest.fixture(params=["embedding", "vlm", "diffusion"])
def family(request):
    return request.param


@pytest.fixture(params=["lora", "finetune", "task vector"])
def case(request, family, models, tuned, tmp_path):
    """A base, an adapter of a kind, and its Delta in float64 for the tensors that it changes."""
    base, lora, regional = models[family]
    stored = read(base, family)
    if request.param == "task vector":
        vector = tmp_path / "vector"
        extract_task_vector(base, tuned[family], vector, get_family(family))
        deltas = {n: t.double() for n, t in load_file(vector / "task_vector.safetensors").items()}
        assert deltas.keys() <= stored.keys()  # dense: every element has moved
        return family, base, vector, deltas
    adapter = lora
    if request.param == "finetune":
        adapter, regional = tuned[family], read(tuned[family], family)
    deltas = {n: regional[n].double() - t.double() for n, t in stored.items() if n in regional}
    return family, base, adapter, {name: delta for name, delta in deltas.items() if delta.any()}


def resolved(base, family, beta):
    names = tensor_names(base, get_family(family))
    return BetasByPart.model_validate({"parts": PARTS[family]}).on(names).at(beta)


def test_each_tensor_is_within_one_ulp_of_float64_at_its_own_beta(case, tmp_path):
    family, base, adapter, deltas = case
    betas = resolved(base, family, BETA)
    report = merge(base, [Adapter(adapter, BETA, betas)], tmp_path / "out", get_family(family))
    before, after = read(base, family), read(tmp_path / "out", family)
    assert before.keys() == after.keys()
    changed, kept = {}, set()
    for name, stored in before.items():
        beta = betas.get(name, BETA)
        if name not in deltas or beta == 0:
            assert same_bits(after[name], stored), name
            kept |= {name} & deltas.keys()
            continue
        changed[name] = beta
        wide, delta = stored.double(), beta * deltas[name]
        reference = wide + delta
        scale = torch.stack([wide.abs(), delta.abs(), reference.abs()]).max(0).values
        error = (after[name].double() - reference).abs()
        assert (error <= ulp(scale, stored.dtype)).all(), name
        assert not torch.equal(after[name], stored), name
    # Tensors that the adapter would change, but for a beta of 0; and several betas among the rest.
    assert kept
    assert len(set(changed.values())) > 2
    assert report.touched == len(changed)


def test_each_tensor_has_the_bytes_of_the_plain_merge_at_its_beta(case, tmp_path):
    family, base, adapter, _ = case
    betas = resolved(base, family, BETA)
    merge(base, [Adapter(adapter, BETA, betas)], tmp_path / "out", get_family(family))
    after = read(tmp_path / "out", family)
    for number, beta in enumerate({*betas.values(), BETA}):
        merge(base, [Adapter(adapter, beta)], tmp_path / str(number), get_family(family))
        for name, tensor in read(tmp_path / str(number), family).items():
            if betas.get(name, BETA) == beta:
                assert same_bits(after[name], tensor), (name, beta)


@pytest.mark.parametrize("method", ["ggez_linear", "task_arithmetic", "ties"])
def test_several_adapters_each_with_its_own_parts(method, models, tuned, tmp_path):
    base, lora, regional = models["embedding"]
    second = {n: t.double() for n, t in read(tuned["embedding"], "embedding").items()}
    one = {"transformer.resblocks.0.mlp.c_fc.weight": 0.2, "token_embedding.weight": 0.0}
    other = {"token_embedding.weight": 0.9, "transformer.resblocks.0.mlp.c_fc.weight": 0.0}
    adapters = [Adapter(lora, 0.5, one), Adapter(tuned["embedding"], 0.25, other)]
    merge(base, adapters, tmp_path / "out", get_family("embedding"), method)
    before, after = read(base, "embedding"), read(tmp_path / "out", "embedding")
    for name, first_beta, second_beta in (
        ("transformer.resblocks.0.mlp.c_fc.weight", 0.2, 0.0),
        ("token_embedding.weight", 0.0, 0.9),
        *((("transformer.resblocks.1.mlp.c_fc.weight", 0.5, 0.25),) if method != "ties" else ()),
    ):
        wide = before[name].double()
        deltas = first_beta * (regional[name] - wide), second_beta * (second[name] - wide)
        reference = wide + deltas[0] + deltas[1]
        scale = torch.stack([wide.abs(), *(d.abs() for d in deltas), reference.abs()])
        error = (after[name].double() - reference).abs()
        assert (error <= ulp(scale.max(0).values, before[name].dtype)).all(), name


def test_a_beta_of_zero_keeps_a_negative_zero(models, tuned, tmp_path):
    base, *_ = models["embedding"]
    assert torch.signbit(read(base, "embedding")["ln_final.bias"][0])
    adapter = Adapter(tuned["embedding"], 1.0, {"ln_final.bias": 0.0})
    merge(base, [adapter], tmp_path / "out", get_family("embedding"))
    assert torch.signbit(read(tmp_path / "out", "embedding")["ln_final.bias"][0])


def test_parts_that_are_all_zero_leave_every_file_alone(models, tmp_path):
    base, lora, _ = models["embedding"]
    names = tensor_names(base, get_family("embedding"))
    betas = BetasByPart.model_validate({"parts": [{"tensors": ".", "beta": 0}]}).on(names).at(1)
    report = merge(base, [Adapter(lora, 1.0, betas)], tmp_path / "out", get_family("embedding"))
    weights = "open_clip_model.safetensors"
    assert (tmp_path / "out" / weights).read_bytes() == (base / weights).read_bytes()
    assert report.touched == 0


def test_a_beta_for_a_tensor_that_the_base_lacks_is_refused(models, tmp_path):
    base, lora, _ = models["embedding"]
    with pytest.raises(WrongBase, match=r"1 tensor.*'visual\.nothing'"):
        merge(
            base,
            [Adapter(lora, 1.0, {"visual.nothing": 0.5})],
            tmp_path / "out",
            get_family("embedding"),
        )
    assert not list(tmp_path.iterdir())
