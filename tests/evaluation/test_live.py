"""Models at any beta in memory: the weights that answer are the weights that `merge` writes."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.models import grid_on
from ggez_hub.evaluation.models.backend import SwappedModel, find_backend
from ggez_hub.evaluation.models.embedding_model import open_embedder
from ggez_hub.evaluation.models.model_under_test import StoredModel
from ggez_hub.evaluation.models.similarity import SimilarityModel
from ggez_hub.evaluation.models.vision_model import VisionModel
from ggez_hub.evaluation.models.weight_swap import LiveWeights
from ggez_hub.families import get_family
from ggez_hub.families.pretrained import NotLoaded
from ggez_hub.merging import Adapter, merge
from tests.diffusion.pipelines import write_pipeline
from tests.evaluation.conftest import COLOURS, change_config, square
from tests.evaluation.seers import write_seer
from tests.evaluation.towers import write_towers
from tests.families.architectures import CLIP, targets, write_adapter

pytestmark = pytest.mark.slow

FAMILY = get_family("embedding")


def embedding_state(folder):
    return open_embedder(folder, FAMILY).state


def vlm_state(folder):
    return VisionModel(folder, get_family("vlm")).state


def diffusion_state(folder):
    import diffusers

    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    return {
        f"{name}/{tensor}": value
        for name, part in pipeline.components.items()
        if isinstance(part, torch.nn.Module)
        for tensor, value in part.state_dict().items()
    }


@dataclass
class Case:
    family: str
    base: Path
    adapters: tuple[Path, Path]
    state: object

    @property
    def model(self):
        return StoredModel(self.base, self.adapters, get_family(self.family))


def lora_on(folder, out, seed, klass="AutoModel"):
    import transformers

    model = getattr(transformers, klass).from_pretrained(folder)
    return write_adapter(out, model, targets(model), seed)


def diffusion_lora(folder, out, seed):
    import diffusers
    import peft

    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    part = getattr(pipeline, "unet", None) or pipeline.transformer
    torch.manual_seed(seed)
    config = peft.LoraConfig(r=2, lora_alpha=3, target_modules=["to_q", "to_v", "proj_out"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(part, config)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(0, 0.2)
    wrapped.save_pretrained(out)
    return out


def as_bytes(tensor):
    return tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


def vlm_case(name, root):
    folder = write_seer(root / "base", name)
    kind = "AutoModelForImageTextToText"
    pair = tuple(lora_on(folder, root / str(seed), seed, kind) for seed in (1, 2))
    return Case("vlm", folder, pair, vlm_state)


def towers_case(architecture, root):
    folder = write_towers(root / "base", architecture)
    pair = tuple(lora_on(folder, root / str(seed), seed) for seed in (1, 2))
    return Case("embedding", folder, pair, embedding_state)


def pipeline_case(name, root):
    folder = write_pipeline(name, root / "base")
    pair = tuple(diffusion_lora(folder, root / str(seed), seed) for seed in (1, 2))
    return Case("diffusion", folder, pair, diffusion_state)


CASES = {
    "clip": partial(towers_case, CLIP),
    "llava": partial(vlm_case, "llava"),
    "qwen2-vl": partial(vlm_case, "qwen2-vl"),
    "sd15": partial(pipeline_case, "sd15"),
}


@pytest.mark.parametrize("name", ["open_clip", *CASES])
def test_live_weights_are_those_of_the_merged_model(name, base, text_lora, both_lora, tmp_path):
    if name == "open_clip":
        case = Case("embedding", base, (text_lora, both_lora), embedding_state)
    else:
        case = CASES[name](tmp_path)
    state = case.state(case.base)
    live = LiveWeights(case.model, state)
    assert live.touched
    # From other betas, not from the base: nothing may accumulate.
    live.set_betas([0.7, 1])
    for number, betas in enumerate([(0.5, 1.25), (0.3, 0.0)]):
        live.set_betas(betas)
        out = tmp_path / f"merged-{number}"
        adapters = [Adapter(a, b) for a, b in zip(case.adapters, betas, strict=True)]
        merge(case.base, adapters, out, case.model.family)
        loaded = case.state(out)
        assert loaded.keys() == state.keys()
        for tensor, value in loaded.items():
            assert torch.equal(state[tensor], value), tensor
        for file in out.rglob("*.safetensors"):
            prefix = "" if file.parent == out else f"{file.parent.name}/"
            for stored, value in load_file(file).items():
                mine = live.weights.tensor(f"{prefix}{stored}", betas)
                assert mine.dtype == value.dtype
                assert as_bytes(mine) == as_bytes(value)


def test_it_answers_like_the_merged_folder(base, both_lora, tmp_path):
    model = open_embedder(base, FAMILY)
    LiveWeights(StoredModel(base, (both_lora,), FAMILY), model.state).set_betas([0.6])
    merge(base, [Adapter(both_lora, 0.6)], tmp_path / "merged", FAMILY)
    merged = open_embedder(tmp_path / "merged", FAMILY)
    pictures = [square(colour) for colour in COLOURS]
    assert np.array_equal(model.encode_pictures(pictures), merged.encode_pictures(pictures))
    assert np.array_equal(model.encode_texts(list(COLOURS)), merged.encode_texts(list(COLOURS)))


def test_what_did_not_move_keeps_its_answers(base, text_lora, both_lora):
    old, new = AnswerCache(), AnswerCache()
    subject = SimilarityModel(open_embedder(base, FAMILY), old)

    def moves(names):
        subject._known_pictures = subject._known_texts = old
        subject.weights_changed(names, new)
        return {
            name
            for name, known in (("seen", subject._known_pictures), ("read", subject._known_texts))
            if known is new
        }

    for adapter, moved in ((text_lora, {"read"}), (both_lora, {"seen", "read"})):
        live = LiveWeights(StoredModel(base, (adapter,), FAMILY), subject.state)
        assert moves(live.touched) == moved
    assert moves({"logit_scale"}) == set()
    # Nobody knows whose it is.
    assert moves({"mixer.weight"}) == {"seen", "read"}


def test_as_many_betas_as_adapters(base, text_lora):
    live = LiveWeights(StoredModel(base, (text_lora,), FAMILY), embedding_state(base))
    with pytest.raises(UsageProblem, match="2 betas cannot weigh 1 adapter"):
        live.set_betas([0.5, 0.5])


def test_a_merge_that_is_not_finite_is_refused(base, text_lora):
    live = LiveWeights(StoredModel(base, (text_lora,), FAMILY), embedding_state(base))
    with pytest.raises(GgezError, match="not finite"):
        live.set_betas([1e8])


def test_experts_that_are_stacked_in_memory_are_loaded_anew(tmp_path):
    """A fine-tune touches every expert; the library computes with none of them as it is stored."""
    family = get_family("vlm")
    base = write_seer(tmp_path / "base", "llava-of-experts")
    weights = load_file(base / "model.safetensors")
    assert any("experts.1.w2" in name for name in weights)
    tuned = shutil.copytree(base, tmp_path / "tuned")
    torch.manual_seed(1)
    other = {name: t + 0.1 * torch.randn_like(t) for name, t in weights.items()}
    save_file(other, tuned / "model.safetensors", {"format": "pt"})
    model = StoredModel(base, (tuned,), family)
    with pytest.raises(NotLoaded, match=r"experts\.0\.w1"):
        LiveWeights(model, vlm_state(base))
    for number, point in enumerate(grid_on(model, (0, 0.5, 1))):
        out = tmp_path / str(number)
        merge(base, [Adapter(tuned, point.beta)], out, family)
        state, merged = point.open(AnswerCache()).state, vlm_state(out)
        assert state.keys() == merged.keys()
        assert all(torch.equal(state[name], merged[name]) for name in merged)
    # With two adapters it is refused: a library is given one while it loads.
    several = StoredModel(base, (tuned, tuned), family)
    moving = SwappedModel(several, find_backend(family))
    with pytest.raises(NotLoaded, match="does not compute with the tensor"):
        moving.at([0.5, 0.5], AnswerCache())


def test_what_cannot_be_held_is_refused_before_anything_is_asked(base, text_lora, tmp_path):
    folder = change_config(base, tmp_path / "model", custom_text=True)
    first, _ = grid_on(StoredModel(folder, (text_lora,), FAMILY), (0, 1))
    with pytest.raises(NotLoaded, match="does not compute with the tensor") as refused:
        first.open(AnswerCache())
    assert "measure the results with `ggez-hub eval`" in refused.value.hint


def test_tensors_that_the_library_renames_are_noticed(base, text_lora, tmp_path):
    """With `custom_text` open_clip puts `text.` before the names of the text tower."""
    folder = change_config(base, tmp_path / "model", custom_text=True)
    with pytest.raises(NotLoaded, match="does not compute with the tensor"):
        LiveWeights(StoredModel(folder, (text_lora,), FAMILY), embedding_state(folder))
    assert open_embedder(folder, FAMILY).encode_texts(["red"]).shape == (1, 32)
