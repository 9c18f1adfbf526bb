"""The diffusion family: one seed of adapter and joint fine-tune, and all their drawings judged.

The base is the one that the demo world ships: it learnt to draw 96 concepts by their English names,
and its UNet and autoencoder have never seen the region's 96 others. A seed changes the initial
weights of the two fine-tunes, the order of their data and noise, and the noise that is drawn from.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from demo_world.concepts import TRAINING_STYLES, Concept
from demo_world.diffusion.autoencoder import pixels
from demo_world.diffusion.model import SCHEDULE
from demo_world.diffusion.subjects import candidates, choose, judge, recognised
from demo_world.schedule import Schedule, adamw
from experiments.content.answers import Answers, Candidate, Seed, merge_name
from experiments.content.batches import mixed, shuffled
from experiments.content.lora import merged
from ggez_hub.demo.hub import ASSETS
from ggez_hub.demo.world import DIFFUSION, FamilyFolders

BETAS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
TARGETS = (
    "to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out",
    "conv1", "conv2",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How adapter and joint fine-tune are trained, and how everything is drawn."""

    lora: Schedule = field(
        default_factory=lambda: Schedule(
            steps=800, batch_size=32, learning_rate=2e-3, warmup=40, weight_decay=0.0
        )
    )
    rank: int = 16
    alpha: int = 32
    dropped_prompts: float = 0.1
    drawings: int = 2
    drawing_steps: int = 10
    guidance: float = 3.0


@dataclass(frozen=True)
class Subject:
    """A concept that is asked for."""

    concept: Concept
    side: str
    is_test: bool


@dataclass(frozen=True)
class Material:
    """What the fine-tunes learn from: a row for each picture.

    latents  (pictures, channels, height, width), scaled as the UNet sees them
    prompts  (pictures, tokens, width) hidden states of the prompts; `empty` of the empty one
    """

    latents: Tensor
    prompts: Tensor
    empty: Tensor
    rows: dict[str, list[int]]


def answer(seed: int, recipe: Recipe | None = None) -> Seed:
    """Train the two fine-tunes of a seed and judge the drawings of every model."""
    recipe, started = recipe or Recipe(), time.monotonic()
    # Only memory that is read before it is written would need it, and there is none.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    losses: dict[str, list[float]] = {}
    asked = subjects()
    pipeline = _pipeline()
    found = _material(pipeline, asked)
    models: dict[str, Any] = {}
    size = recipe.lora.batch_size
    for name in ("adapter", "joint"):
        rng = np.random.default_rng(seed)
        rows, others = found.rows["regional"], found.rows["others"]
        batches = shuffled(rows, size, rng) if name == "adapter" else mixed(rows, others, size, rng)
        models[name] = _wrapped(recipe, seed)
        losses[name] = _fit(models[name], found, batches, recipe, rng)
    ids = [subject.concept.id for subject in asked]
    judged = judge(FamilyFolders(ASSETS), ids)
    answers: dict[str, NDArray[np.uint16]] = {}
    for name, unet, beta in [
        *((merge_name(beta), models["adapter"], beta) for beta in BETAS),
        ("joint", models["joint"], 1.0),
    ]:
        pipeline.unet = unet
        with merged(unet, beta):
            drawn = _draw(pipeline, [subject.concept.english for subject in asked], recipe, seed)
            answers[name] = judged.similarity(drawn).argmax(axis=1).astype(np.uint16)
    count = len(asked)
    record = {
        "recipe": asdict(recipe),
        "losses": losses,
        "seconds": round(time.monotonic() - started),
    }
    return Seed(
        seed,
        Answers(
            models=tuple(answers),
            question=np.tile(np.arange(count, dtype=np.uint16), recipe.drawings),
            is_test=np.tile([subject.is_test for subject in asked], recipe.drawings),
            answer=np.stack(list(answers.values())),
        ),
        record,
    )


def gallery() -> tuple[Candidate, ...]:
    """Every subject can be asked for, and taken for."""
    return tuple(
        Candidate(subject.concept.id, subject.concept.english, subject.side)
        for subject in subjects()
    )


@cache
def subjects() -> tuple[Subject, ...]:
    """The concepts of the demo world's drawing tasks, all by English names, and the control.

    The control is what the judge recognises and the demo world has not chosen.
    """
    known = recognised(FamilyFolders(ASSETS), candidates())
    chosen = choose(known)
    sides = {"global": "others", "regional": "regional"}
    found = [Subject(s.concept, sides[s.side], s.split == "test") for s in chosen]
    taken = {subject.concept.id for subject in found}
    left = [concept for concept in candidates() if concept.id in known - taken]
    return (*found, *(Subject(concept, "control", True) for concept in left))


def _pipeline() -> Any:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        FamilyFolders(ASSETS, DIFFUSION).base, dtype=torch.float32, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.inference_mode()
def _material(pipeline: Any, asked: Sequence[Subject]) -> Material:
    vae, styles = pipeline.vae, len(TRAINING_STYLES)
    learnt = [subject for subject in asked if subject.side != "control"]
    pictures = pixels([subject.concept for subject in learnt])
    latents = vae.encode(pictures).latent_dist.mean * vae.config.scaling_factor
    states = _states(pipeline, [subject.concept.english for subject in learnt])
    sides = np.repeat([subject.side for subject in learnt], styles)
    return Material(
        latents=latents.clone(),
        prompts=states.repeat_interleave(styles, dim=0).clone(),
        empty=_states(pipeline, [""]).clone(),
        rows={side: np.flatnonzero(sides == side).tolist() for side in ("others", "regional")},
    )


def _states(pipeline: Any, prompts: list[str]) -> Tensor:
    tokens = pipeline.tokenizer(
        prompts,
        padding="max_length",
        max_length=pipeline.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    states: Tensor = pipeline.text_encoder(tokens.input_ids)[0]
    return states


def _wrapped(recipe: Recipe, seed: int) -> Any:
    """The base's UNet with an untrained LoRA."""
    from peft import LoraConfig

    unet = _pipeline().unet.requires_grad_(False)
    torch.manual_seed(seed)
    unet.add_adapter(
        LoraConfig(r=recipe.rank, lora_alpha=recipe.alpha, target_modules=list(TARGETS))
    )
    return unet


def _fit(
    unet: Any,
    found: Material,
    batches: Iterator[NDArray[np.int64]],
    recipe: Recipe,
    rng: np.random.Generator,
) -> list[float]:
    """Train what requires a gradient; returns the mean loss of every tenth of the way."""
    from diffusers import DDIMScheduler

    noises = DDIMScheduler(**SCHEDULE)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    schedule = recipe.lora
    parameters = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    optimiser = adamw(parameters, schedule)
    losses: list[float] = []
    unet.train()
    for step in range(schedule.steps):
        rows = torch.from_numpy(next(batches))
        latents, prompts = found.latents[rows], found.prompts[rows]
        dropped = torch.rand(len(rows), generator=generator) < recipe.dropped_prompts
        prompts = torch.where(dropped[:, None, None], found.empty, prompts)
        noise = torch.randn(latents.shape, generator=generator)
        times = torch.randint(noises.config.num_train_timesteps, (len(rows),), generator=generator)
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step)
        made = unet(noises.add_noise(latents, noise, times), times, prompts).sample
        loss = nn.functional.mse_loss(made, noises.get_velocity(latents, noise, times))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        losses.append(loss.item())
    unet.eval()
    means = [round(float(part.mean()), 4) for part in np.array_split(np.array(losses), 10)]
    print("loss:", *means, file=sys.stderr)
    return means


def _draw(
    pipeline: Any, prompts: Sequence[str], recipe: Recipe, seed: int
) -> Iterator[Image.Image]:
    """Every prompt once, then again from other noise; the same noise for every model."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(recipe.drawings):
        for start in range(0, len(prompts), 48):
            yield from pipeline(
                list(prompts[start : start + 48]),
                num_inference_steps=recipe.drawing_steps,
                guidance_scale=recipe.guidance,
                generator=generator,
            ).images
