"""Pipelines are trained by the same loop: a UNet or its LoRA, everything else as it was."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline
from safetensors.torch import load_file

from ggez_hub.cards import read_card
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.training.diffusion.average import Average
from ggez_hub.training.diffusion.denoising import Denoising
from ggez_hub.training.diffusion.latents import square
from ggez_hub.training.diffusion.pipelines import NotTrainable, open_pipeline
from ggez_hub.training.diffusion.recipe import DiffusionRecipe
from ggez_hub.training.memory import memory_of, skeleton_in_training
from ggez_hub.training.run import opened, train
from tests.diffusion.pipelines import picture, write_pipeline
from tests.training.material import job, write_captions, write_recipe
from tests.training.test_resume import STEPS, killed_midway

DIFFUSION = get_family("diffusion")
KEYS = {"family": "diffusion", "resolution": 16}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Captions, and the tiny pipelines of four architectures beside them."""
    folder = tmp_path_factory.mktemp("diffusion")
    write_captions(folder / "captions", copies=1)
    for name in ("sd15", "sdxl", "sd3", "flux"):
        write_pipeline(name, folder / name)
    return folder


def tensors(folder):
    return {
        f"{path.parent.name}/{name}": tensor
        for path in folder.glob("*/*.safetensors")
        for name, tensor in load_file(path).items()
    }


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_a_lora_draws_in_diffusers_as_its_merge_does(place, tmp_path, name):
    keys = {"lora": {"r": 2, "alpha": 8}, "optimiser": {"learning_rate": 0.02}}
    out = train(
        job(write_recipe(place / "lora.yaml", base=name, **KEYS, **keys)), tmp_path / "o"
    ).out
    assert {path.name for path in out.iterdir()} == {
        "README.md", "pytorch_lora_weights.safetensors", "training.json",
    }  # fmt: skip
    card = read_card(out / "README.md").card
    assert (card.family, card.kind, card.level) == ("diffusion", "lora", "reproducible")
    merge(place / name, [Adapter(out, 1.0)], tmp_path / "merged", DIFFUSION)
    plain, adapted, merged = (
        DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
        for folder in (place / name, place / name, tmp_path / "merged")
    )
    adapted.load_lora_weights(out)
    drawn = torch.from_numpy(picture(merged, name))
    torch.testing.assert_close(torch.from_numpy(picture(adapted, name)), drawn, atol=4e-3, rtol=0)
    assert (torch.from_numpy(picture(plain, name)) - drawn).abs().max() > 0.02


def test_a_full_run_changes_the_unet_and_nothing_else(place, tmp_path):
    out = train(
        job(write_recipe(place / "full.yaml", base="sd15", method="full", **KEYS)), tmp_path / "o"
    ).out
    before, after = tensors(place / "sd15"), tensors(out)
    assert before.keys() == after.keys()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed
    assert all(name.startswith("unet/") for name in changed)
    assert read_card(out / "README.md").card.kind == "finetune"
    picture(DiffusionPipeline.from_pretrained(out, dtype=torch.float32), "sd15")


def test_it_learns(place, tmp_path):
    keys = {
        "optimiser": {"learning_rate": 0.003},
        "max_steps": 40,
        "micro_batch": 8,
        "caption_dropout": 0.0,
    }
    path = write_recipe(place / "learns.yaml", base="sd15", method="full", **KEYS, **keys)
    losses = [loss for _, loss in train(job(path), tmp_path / "o").record["losses"]]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_killed_and_run_again_the_averaged_weights_are_the_same(place, tmp_path):
    path = write_recipe(
        place / "killed.yaml", base="sd15", max_steps=STEPS, ema=0.9, min_snr=5.0, **KEYS,
        lora={"r": 2, "alpha": 4, "dropout": 0.2},
    )  # fmt: skip
    whole = train(job(path), tmp_path / "whole").out
    assert 0 < killed_midway(path, tmp_path / "killed") < STEPS
    killed = train(job(path), tmp_path / "killed").out
    for name in ("pytorch_lora_weights.safetensors", "training.json"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes()


def test_what_is_saved_is_the_average_of_the_weights():
    model = torch.nn.Linear(1, 1, bias=False)
    average = Average(model, 0.5)
    with torch.no_grad():
        model.weight.fill_(1.0)
    before = average.average_0.item()
    average.update(model)
    first = 0.1 * before + 0.9  # (1 + 0) / (10 + 0) is below the decay
    assert average.average_0.item() == pytest.approx(first)
    average.put_into(model)
    assert model.weight.item() == pytest.approx(first)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_min_snr_weights_are_those_of_the_paper(place, prediction):
    pipeline = open_pipeline(place / "sd15", torch.float32)
    pipeline.scheduler = DDIMScheduler.from_config(
        pipeline.scheduler.config, prediction_type=prediction
    )
    learner = Denoising(pipeline, recipe(place, min_snr=5.0))
    steps = torch.tensor([0, 300, 999])
    signal = learner._schedule.alphas_cumprod[steps].double()
    snr = signal / (1 - signal)
    wanted = snr.clamp(max=5) / (snr if prediction == "epsilon" else snr + 1)
    torch.testing.assert_close(learner._weights(steps).double(), wanted, rtol=1e-4, atol=0)


def test_a_perfect_prediction_has_no_loss(place):
    """The loss compares with the velocity of the scheduler's own definition."""
    pipeline = open_pipeline(place / "sd15", torch.float32)
    pipeline.scheduler = DDIMScheduler.from_config(
        pipeline.scheduler.config, prediction_type="v_prediction"
    )
    learner = Denoising(pipeline, recipe(place)).eval()
    latents, kept = torch.randn(3, 4, 8, 8), {}

    def know(noisy, steps, **told):
        signal = learner._schedule.alphas_cumprod[steps].view(-1, 1, 1, 1)
        scaled = (
            latents * pipeline.vae.config.scaling_factor - 0.1 * pipeline.vae.config.scaling_factor
        )
        noise = (noisy - signal.sqrt() * scaled) / (1 - signal).sqrt()
        kept["sample"] = signal.sqrt() * noise - (1 - signal).sqrt() * scaled
        return type("Output", (), kept)

    learner.model.forward = know
    mean = torch.stack([latents, torch.zeros_like(latents)], dim=1)
    loss = learner(latents=mean, encoder_hidden_states=torch.randn(3, 16, 32))
    assert loss.items == 3
    assert loss.total.item() == pytest.approx(0, abs=1e-4)


def recipe(place, **keys):
    path = write_recipe(place / "asked.yaml", base="sd15", **KEYS, **keys)
    asked = job(path).recipe
    assert isinstance(asked, DiffusionRecipe)
    return asked


@pytest.mark.parametrize("name", ["sd3", "flux"])
def test_transformers_are_refused_by_name(place, tmp_path, name):
    with pytest.raises(NotTrainable, match=r"StableDiffusion3Pipeline|FluxPipeline"):
        train(job(write_recipe(place / "no.yaml", base=name, **KEYS)), tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_noise_cannot_be_predicted_from_pure_noise(place, tmp_path):
    shutil.copytree(place / "sd15", place / "zero")
    config = place / "zero" / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"rescale_betas_zero_snr": True}))
    with pytest.raises(NotTrainable, match="pure noise"):
        train(job(write_recipe(place / "zero.yaml", base="zero", **KEYS)), tmp_path / "o")


def test_pictures_are_cut_in_the_middle():
    from PIL import Image

    wide = Image.new("RGB", (60, 20), "red")
    wide.paste("blue", (20, 0, 40, 20))
    cut, corner = square(wide, 10)
    assert cut.size == (10, 10)
    assert corner == (0, 10)
    assert cut.getpixel((5, 5)) == (0, 0, 255)


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_planned_activations_are_those_that_a_real_pass_keeps(place, name):
    keys = {**KEYS, "resolution": 64, "micro_batch": 4, "batch_size": 4}
    asked = job(write_recipe(place / "memory.yaml", base=name, **keys))
    planned = memory_of(asked, skeleton_in_training(asked)).activations
    model, kept = opened(job(place / "memory.yaml")).model.train(), {}

    def pack(tensor):
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage._cdata] = (storage.nbytes(), tensor)
        return tensor

    added = {"text_embeds": torch.zeros(4, 32), "time_ids": torch.zeros(4, 6)}
    width = model.config.cross_attention_dim
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(
            torch.zeros(4, 4, 8, 8),
            torch.zeros(4, dtype=torch.long),
            encoder_hidden_states=torch.zeros(4, 77, width),
            added_cond_kwargs=added if name == "sdxl" else None,
        ).sample.float()
    assert planned == sum(nbytes for nbytes, _ in kept.values())
