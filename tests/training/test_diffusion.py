"""Pipelines are trained by the same loop: the denoiser or its LoRA, everything else as it was."""

from __future__ import annotations

import json
import shutil

import pytest
import safetensors.torch
import torch
from diffusers import DDIMScheduler, DiffusionPipeline
from safetensors.torch import load_file

from ggez_hub.cards import read_card
from ggez_hub.errors import GgezError
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.training.diffusion.denoiser import DiffusionModule, MovingAverage, square
from ggez_hub.training.diffusion.pipelines import objective_of, open_pipeline
from ggez_hub.training.diffusion.recipe import DiffusionRecipe
from ggez_hub.training.plan import memory_of, skeleton_in_training
from ggez_hub.training.run import open_module, train
from tests.diffusion.pipelines import DENOISER, picture, write_pipeline
from tests.training.material import job, write_captions, write_recipe
from tests.training.test_resume import STEPS, killed_midway

pytestmark = pytest.mark.slow

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


@pytest.mark.parametrize(
    "name",
    ["sd15", "sd3", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sdxl", "flux"))],
)
def test_a_lora_draws_in_diffusers_as_its_merge_does(place, tmp_path, name):
    rate = 0.1 if name == "flux" else 0.02
    keys = {"lora": {"r": 2, "alpha": 8}, "optimiser": {"learning_rate": rate}}
    out = train(
        job(write_recipe(place / "lora.yaml", base=name, **KEYS, **keys)), tmp_path / "o"
    ).out
    assert {path.name for path in out.iterdir()} == {
        "README.md", "pytorch_lora_weights.safetensors", "training.json",
    }  # fmt: skip
    card = read_card(out / "README.md").card
    assert (card.family, card.kind, card.level) == ("diffusion", "lora", "reproducible")
    figures = card.training.hyper_parameters
    if name in ("sd3", "flux"):
        # Nothing of it stands in the recipe.
        assert figures["objective"] == "flow_matching"
        assert figures["flow.weighting_scheme"] == "logit_normal"
    else:
        assert figures["objective"] == "epsilon"
    merge(place / name, [Adapter(out, 1.0)], tmp_path / "merged", DIFFUSION)
    plain, adapted, merged = (
        DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
        for folder in (place / name, place / name, tmp_path / "merged")
    )
    adapted.load_lora_weights(out)
    drawn = torch.from_numpy(picture(merged, name))
    torch.testing.assert_close(torch.from_numpy(picture(adapted, name)), drawn, atol=4e-3, rtol=0)
    assert (torch.from_numpy(picture(plain, name)) - drawn).abs().max() > 0.02


@pytest.mark.parametrize("name", ["sd15", "sd3", pytest.param("flux", marks=pytest.mark.slow)])
def test_a_full_run_changes_the_denoiser_and_nothing_else(place, tmp_path, name):
    keys = {"optimiser": {"learning_rate": 0.01}, "max_steps": 2}
    path = write_recipe(place / f"full-{name}.yaml", base=name, method="full", **KEYS, **keys)
    out = train(job(path), tmp_path / "o").out
    before, after = tensors(place / name), tensors(out)
    assert before.keys() == after.keys()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert len(changed) > 10
    assert all(tensor.startswith(f"{DENOISER[name]}/") for tensor in changed)
    assert read_card(out / "README.md").card.kind == "finetune"
    picture(DiffusionPipeline.from_pretrained(out, dtype=torch.float32), name)


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "keys"),
    [("sd15", {"min_snr": 5.0}), ("sd3", {"flow": {"weighting_scheme": "mode"}}), ("flux", {})],
    ids=["sd15", "sd3", "flux"],
)
def test_killed_and_run_again_the_averaged_weights_are_the_same(place, tmp_path, name, keys):
    path = write_recipe(
        place / f"killed-{name}.yaml", base=name, max_steps=STEPS, ema=0.9, **KEYS, **keys,
        lora={"r": 2, "alpha": 4, "dropout": 0.2},
    )  # fmt: skip
    whole = train(job(path), tmp_path / "whole").out
    assert 0 < killed_midway(path, tmp_path / "killed") < STEPS
    killed = train(job(path), tmp_path / "killed").out
    for file in ("pytorch_lora_weights.safetensors", "training.json"):
        assert (whole / file).read_bytes() == (killed / file).read_bytes()


def test_what_is_saved_is_the_average_of_the_weights():
    model = torch.nn.Linear(1, 1, bias=False)
    average = MovingAverage(model, 0.5)
    with torch.no_grad():
        model.weight.fill_(1.0)
    before = average.average_0.item()
    average.update(model)
    first = 0.1 * before + 0.9  # (1 + 0) / (10 + 0) is below the decay
    assert average.average_0.item() == pytest.approx(first)
    average.copy_to(model)
    assert model.weight.item() == pytest.approx(first)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_min_snr_weights_are_those_of_the_paper(place, prediction):
    pipeline = open_pipeline(place / "sd15", torch.float32)
    pipeline.scheduler = DDIMScheduler.from_config(
        pipeline.scheduler.config, prediction_type=prediction
    )
    objective = objective_of(pipeline, recipe(place, min_snr=5.0))
    steps = torch.tensor([0, 300, 999])
    signal = objective.schedule.alphas_cumprod[steps].double()
    snr = signal / (1 - signal)
    wanted = snr.clamp(max=5) / (snr if prediction == "epsilon" else snr + 1)
    torch.testing.assert_close(objective.weights(steps).double(), wanted, rtol=1e-4, atol=0)


def test_a_perfect_prediction_has_no_loss(place):
    """The loss compares with the velocity of the scheduler's own definition."""
    pipeline = open_pipeline(place / "sd15", torch.float32)
    pipeline.scheduler = DDIMScheduler.from_config(
        pipeline.scheduler.config, prediction_type="v_prediction"
    )
    learner = DiffusionModule(pipeline, recipe(place)).eval()
    latents, kept = torch.randn(3, 4, 8, 8), {}

    def know(noisy, steps, **told):
        signal = learner.objective.schedule.alphas_cumprod[steps].view(-1, 1, 1, 1)
        scaled = (
            latents * pipeline.vae.config.scaling_factor - 0.1 * pipeline.vae.config.scaling_factor
        )
        noise = (noisy - signal.sqrt() * scaled) / (1 - signal).sqrt()
        kept["sample"] = signal.sqrt() * noise - (1 - signal).sqrt() * scaled
        return type("Output", (), kept)

    learner.model.forward = know
    mean = torch.stack([latents, torch.zeros_like(latents)], dim=1)
    batch = {"latents": mean, "encoder_hidden_states": torch.randn(3, 16, 32)}
    loss = learner(**learner.draw([batch], 0, 1)[0])
    assert loss.items == 3
    assert loss.total.item() == pytest.approx(0, abs=1e-4)


def recipe(place, base="sd15", **keys):
    path = write_recipe(place / "asked.yaml", base=base, **KEYS, **keys)
    asked = job(path).recipe
    assert isinstance(asked, DiffusionRecipe)
    return asked


def test_noise_cannot_be_predicted_from_pure_noise(place, tmp_path):
    shutil.copytree(place / "sd15", place / "zero")
    config = place / "zero" / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"rescale_betas_zero_snr": True}))
    with pytest.raises(GgezError, match="pure noise"):
        train(job(write_recipe(place / "zero.yaml", base="zero", **KEYS)), tmp_path / "o")


def test_pictures_are_cut_in_the_middle():
    from PIL import Image

    wide = Image.new("RGB", (60, 20), "red")
    wide.paste("blue", (20, 0, 40, 20))
    cut, corner = square(wide, 10)
    assert cut.size == (10, 10)
    assert corner == (0, 10)
    assert cut.getpixel((5, 5)) == (0, 0, 255)


def test_pictures_are_encoded_as_a_viewer_shows_them(place):
    """A photograph that is stored lying, and a transparent picture on white."""
    import io

    from PIL import Image

    learner = DiffusionModule(open_pipeline(place / "sd15", torch.float32), recipe(place))

    def latents(picture, **options):
        file = io.BytesIO()
        picture.save(file, "PNG", **options)
        batch = {"image": [{"bytes": file.getvalue()}], "text": ["a"]}
        return safetensors.torch.load(learner.encoder.encode(batch)[0])["latents"]

    upright = Image.new("RGB", (16, 16), "red")
    upright.paste("blue", (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    assert latents(lying, exif=exif).equal(latents(upright))
    assert not latents(lying).equal(latents(upright))
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    assert latents(clear).equal(latents(Image.new("RGB", (16, 16), "white")))


@pytest.mark.parametrize("name", ["sd15", "sdxl", "sd3", "flux"])
def test_planned_activations_are_those_that_a_real_pass_keeps(place, name):
    keys = {**KEYS, "resolution": 64, "micro_batch": 4, "batch_size": 4}
    asked = job(write_recipe(place / f"memory-{name}.yaml", base=name, **keys))
    planned = memory_of(asked, skeleton_in_training(asked)).activations
    model, kept = open_module(job(place / f"memory-{name}.yaml")).model.train(), {}

    def pack(tensor):
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage._cdata] = (storage.nbytes(), tensor)
        return tensor

    times = torch.zeros(4, dtype=torch.long)
    added = {"text_embeds": torch.zeros(4, 32), "time_ids": torch.zeros(4, 6)}
    calls = {
        "sd15": {"sample": torch.zeros(4, 4, 8, 8), "encoder_hidden_states": torch.zeros(4, 77, 32)},
        "sdxl": {
            "sample": torch.zeros(4, 4, 8, 8), "encoder_hidden_states": torch.zeros(4, 77, 64),
            "added_cond_kwargs": added,
        },
        "sd3": {
            "hidden_states": torch.zeros(4, 4, 8, 8),
            "encoder_hidden_states": torch.zeros(4, 77 + 256, 32),
            "pooled_projections": torch.zeros(4, 64),
        },
        "flux": {
            "hidden_states": torch.zeros(4, 16, 16), "img_ids": torch.zeros(16, 3),
            "encoder_hidden_states": torch.zeros(4, 512, 32), "txt_ids": torch.zeros(512, 3),
            "pooled_projections": torch.zeros(4, 32), "guidance": torch.ones(4),
        },
    }  # fmt: skip
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(timestep=times, **calls[name]).sample.float()
    assert planned == sum(nbytes for nbytes, _ in kept.values())
