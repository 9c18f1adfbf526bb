"""Transformers that learn by flow matching: SD3 and Flux, as diffusers itself draws with them."""

from __future__ import annotations

import json
import math
import shutil
from types import SimpleNamespace

import pytest
import torch
from diffusers import FluxPipeline

from ggez_hub.errors import GgezError
from ggez_hub.recipe_file import BadRecipe
from ggez_hub.training.diffusion.denoiser import DiffusionModule
from ggez_hub.training.diffusion.objectives import FlowMatching
from ggez_hub.training.diffusion.pipelines import open_pipeline
from ggez_hub.training.diffusion.recipe import Flow
from ggez_hub.training.plan import plan
from tests.diffusion.pipelines import write_pipeline
from tests.training.material import job, write_captions, write_recipe

KEYS = {"family": "diffusion", "resolution": 16, "precision": "fp32"}
CAPTIONS = ["a market", "a thai picture"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Captions and tiny pipelines, SD3's with a schedule that is shifted to noise."""
    folder = tmp_path_factory.mktemp("flow")
    write_captions(folder / "captions", copies=1)
    for name in ("sd15", "sd3", "flux"):
        write_pipeline(name, folder / name)
    path = folder / "sd3" / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"shift": 3.0}))
    return folder


def learner(place, name, **keys):
    asked = job(write_recipe(place / f"{name}.yaml", base=name, **KEYS, **keys)).recipe
    return DiffusionModule(open_pipeline(place / name, torch.float32), asked).eval()


@pytest.mark.parametrize("name", ["sd3", "flux"])
def test_the_way_from_noise_to_the_picture_has_no_loss(place, name):
    """What the transformer is asked is what the pipeline asks when it draws."""
    learning = learner(place, name, flow={"guidance_scale": 2.5} if name == "flux" else None)
    scheduler, config = learning.encoder.pipeline.scheduler, learning.encoder.pipeline.vae.config
    latents = torch.randn(3, 4, 8, 8)
    batch = {"latents": torch.stack([latents, torch.zeros_like(latents)], dim=1)}
    batch |= learning.encoder.captions(["a", "b", "c"])
    (drawn,) = learning.draw([batch], 0, 1)
    told = {}

    def know(**said):
        told.update(said)
        noisy, times = said["hidden_states"], said["timestep"]
        if name == "flux":
            noisy = FluxPipeline._unpack_latents(noisy, 8, 8, vae_scale_factor=1)
            times = times * 1000
        clean = (latents - config.shift_factor) * config.scaling_factor
        # The pipeline's scheduler has the same levels of noise at these times.
        noise = drawn["noise"]
        torch.testing.assert_close(scheduler.scale_noise(clean, times, noise), noisy)
        way = (noisy - clean) / (times / 1000).view(-1, 1, 1, 1)
        return SimpleNamespace(
            sample=FluxPipeline._pack_latents(way, 3, 4, 8, 8) if name == "flux" else way
        )

    learning.model.forward = know
    loss = learning(**drawn)
    assert loss.items == 3
    assert loss.total.item() == pytest.approx(0, abs=1e-4)
    if name == "flux":
        assert told["guidance"].tolist() == [2.5] * 3
        assert told["img_ids"][5].tolist() == [0, 1, 1]
        assert told["txt_ids"].shape == (512, 3)


@pytest.mark.parametrize(("name", "tokens"), [("sd3", 16 + 5), ("flux", 5)])
def test_captions_are_encoded_by_every_text_encoder(place, name, tokens):
    """By two CLIPs and T5 of SD3, CLIP and T5 of Flux; T5 with as many tokens as asked."""
    learning = learner(place, name, flow={"max_sequence_length": 5})
    before = learning.encoder.captions(CAPTIONS)
    assert before["encoder_hidden_states"].shape == (2, tokens, 32)
    changed = {}
    for encoder in ("text_encoder", "text_encoder_2", "text_encoder_3")[
        : 3 if name == "sd3" else 2
    ]:
        with torch.no_grad():
            for weight in getattr(learning.encoder.pipeline, encoder).parameters():
                weight.add_(0.1 * torch.randn_like(weight))
        after = learning.encoder.captions(CAPTIONS)
        changed[encoder] = {key for key in after if not after[key].equal(before[key])}
        before = after
    hidden, pooled = "encoder_hidden_states", "pooled_projections"
    wanted = {
        "sd3": {
            "text_encoder": {hidden, pooled},
            # The tiny T5 is as wide as one CLIP: hidden states of the second one are cut off.
            "text_encoder_2": {pooled},
            "text_encoder_3": {hidden},
        },
        "flux": {"text_encoder": {pooled}, "text_encoder_2": {hidden}},
    }  # fmt: skip
    assert changed == wanted[name]


def levels(**keys):
    from diffusers import FlowMatchEulerDiscreteScheduler

    schedule = FlowMatchEulerDiscreteScheduler()
    torch.manual_seed(0)
    objective = FlowMatching(schedule, Flow(**keys))
    return objective, schedule.sigmas[objective.draw_levels(20_000, torch.device("cpu"))]


def test_levels_of_noise_are_drawn_as_asked():
    """Shares of levels below 1/4, by each distribution's own formula."""
    logit = math.log(1 / 3)
    for mean, deviation in ((0.0, 1.0), (1.0, 0.5)):
        asked = {"logit_mean": mean, "logit_std": deviation} if mean else {}
        # The schedule runs from noise to the picture: a draw of u is the level 1 - u.
        below = 0.5 * (1 + math.erf((logit + mean) / deviation / math.sqrt(2)))
        assert (levels(**asked)[1] < 0.25).double().mean().item() == pytest.approx(below, abs=0.012)
    uniform = levels(weighting_scheme="none")[1]
    assert (uniform < 0.25).double().mean().item() == pytest.approx(0.25, abs=0.012)
    middle = levels(weighting_scheme="mode")[1]
    assert ((middle > 0.25) & (middle < 0.75)).double().mean() > 0.52


def test_losses_are_weighted_as_asked():
    steps = torch.tensor([0, 500, 999])
    latents = torch.zeros(3, 1, 1, 1)
    for scheme, formula in {
        "logit_normal": torch.ones_like,
        "sigma_sqrt": lambda sigma: sigma**-2,
        "cosmap": lambda sigma: 2 / (math.pi * (1 - 2 * sigma + 2 * sigma**2)),
    }.items():
        objective, _ = levels(weighting_scheme=scheme)
        found = objective.add_noise(latents, latents, steps).weights
        torch.testing.assert_close(found, formula(objective.schedule.sigmas[steps]))


REFUSED = {
    "min_snr": ("sd3", {"min_snr": 5.0}, "min_snr: weights levels of a noise schedule"),
    "flow": ("sd15", {"flow": {}}, "flow: is for flow matching"),
    "guidance": ("sd3", {"flow": {"guidance_scale": 3.5}}, "flow.guidance_scale: this transformer"),
    "resolution": ("large", {"resolution": 24}, "resolution: is 24, and a FluxPipeline takes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_keys_of_another_objective_are_refused(place, name):
    base, keys, message = REFUSED[name]
    if base == "large" and not (place / base).exists():
        shutil.copytree(place / "flux", place / base)
        path = place / base / "vae" / "config.json"
        said = json.loads(path.read_text()) | {"block_out_channels": [8, 8, 8, 8]}
        path.write_text(json.dumps(said))
    asked = job(write_recipe(place / f"no-{name}.yaml", base=base, **{**KEYS, **keys}))
    for refusing in (asked.check, lambda: plan(asked, place)):
        with pytest.raises(BadRecipe, match=message):
            refusing()


def test_keys_of_another_scheme_are_refused(place):
    path = write_recipe(place / "scheme.yaml", base="sd3", flow={"mode_scale": 1.0}, **KEYS)
    with pytest.raises(BadRecipe, match="mode_scale is for weighting_scheme mode"):
        job(path)


def test_other_pipelines_are_refused_by_name(place, tmp_path):
    shutil.copytree(place / "sd3", tmp_path / "other")
    path = tmp_path / "other" / "model_index.json"
    path.write_text(path.read_text().replace("StableDiffusion3Pipeline", "AuraFlowPipeline"))
    asked = job(write_recipe(tmp_path / "other.yaml", base="other", **KEYS))
    with pytest.raises(GgezError, match="AuraFlowPipeline"):
        asked.check()
