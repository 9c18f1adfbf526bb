"""The embedding family: one seed of base, adapter and joint fine-tune, and all their answers.

Everything but the sets of concepts depends on the seed: initial weights, order of the data, dropout.
The recipe was fixed before any answer was computed: that of the demo world's Thai adapter (its
learning rates, rank and 100 rounds of the adapter's concepts), with a shorter base.
"""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from demo_world.concepts import STYLES, TEST_STYLE, VALIDATION_STYLE, concepts
from demo_world.embedding.model import (
    AUGMENTATION,
    CONTEXT_LENGTH,
    encode_features,
    encode_text,
    new_model,
    preprocess,
    training_features,
)
from demo_world.image_tower import cached
from demo_world.pictures import draw
from demo_world.schedule import Schedule, adamw
from demo_world.tokenizer import train_tokenizer
from experiments.content.answers import Answers, Candidate, Seed, merge_name
from experiments.content.batches import mixed, shuffled
from experiments.content.lora import scale
from experiments.content.subsets import sides_of

BETAS: tuple[float, ...] = (*(step / 10 for step in range(13)), 1.25)

TARGETS = ("c_fc", "c_proj", "token_embedding", "head.proj")
"""What the LoRA adapts: the text tower as the demo's adapters do, and the projection of pictures."""


@dataclass(frozen=True)
class Recipe:
    """How the three models are trained; adapter and joint fine-tune cost the same."""

    base: Schedule = field(
        default_factory=lambda: Schedule(steps=600, batch_size=267, learning_rate=2e-3)
    )
    lora: Schedule = field(
        default_factory=lambda: Schedule(
            steps=100, batch_size=200, learning_rate=4e-3, warmup=20, weight_decay=0.0
        )
    )
    rank: int = 16
    alpha: int = 32


@dataclass(frozen=True)
class Material:
    """Tokens of every name, features of training pictures, and of held-out ones by split."""

    tokens: Tensor
    training: Tensor
    held_out: Mapping[str, Tensor]


def answer(seed: int, recipe: Recipe | None = None) -> Seed:
    """Train the three models of a seed and ask them everything."""
    recipe, started, losses = recipe or Recipe(), time.monotonic(), {}
    # Only memory that is read before it is written would need it, and there is none.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    found = material()
    sides = np.array(sides_of(concepts()))
    others, regional = (np.flatnonzero(sides == side).tolist() for side in ("others", "regional"))
    base = new_model(seed)
    base.visual.trunk.requires_grad_(False)
    rng = np.random.default_rng(seed)
    losses["base"] = _fit(
        base, found, shuffled(others, recipe.base.batch_size, rng), recipe.base, rng
    )
    adapted, joint = (_wrapped(copy.deepcopy(base), recipe, seed) for _ in range(2))
    size = recipe.lora.batch_size
    rng = np.random.default_rng(seed)
    losses["adapter"] = _fit(adapted, found, shuffled(regional, size, rng), recipe.lora, rng)
    rng = np.random.default_rng(seed)
    losses["joint"] = _fit(joint, found, mixed(regional, others, size, rng), recipe.lora, rng)
    return Seed(
        seed,
        _ask(adapted, joint, found),
        {
            "recipe": asdict(recipe),
            "losses": losses,
            "seconds": round(time.monotonic() - started),
        },
    )


def gallery() -> tuple[Candidate, ...]:
    """Every concept can be asked for, and answered."""
    found = concepts()
    return tuple(
        Candidate(concept.id, concept.english, side)
        for concept, side in zip(found, sides_of(found), strict=True)
    )


@cache
def material() -> Material:
    """What the models learn from and are asked."""
    tokenizer = train_tokenizer(CONTEXT_LENGTH)
    tokens: Tensor = tokenizer(
        [concept.english for concept in concepts()], padding="longest", return_tensors="pt"
    ).input_ids
    return Material(
        tokens=tokens,
        training=training_features(AUGMENTATION),
        held_out={
            "validation": _plain_features(VALIDATION_STYLE),
            "test": _plain_features(TEST_STYLE),
        },
    )


def _plain_features(style: str) -> Tensor:
    """(concepts, 1280): every picture of a style as it is, cached."""

    @torch.inference_mode()
    def extract() -> NDArray[np.float32]:
        trunk, prepare = new_model(seed=0).visual.trunk, preprocess()
        pictures = torch.stack([prepare(draw(concept, style)) for concept in concepts()])
        return torch.cat([trunk(part) for part in torch.split(pictures, 64)]).numpy()

    return torch.from_numpy(cached(f"plain-{style}", {"style": STYLES[style].record()}, extract))


def _wrapped(model: Any, recipe: Recipe, seed: int) -> Any:
    """`model` with an untrained LoRA; the wrapped model itself, whose forward methods stay."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    get_peft_model(
        model,
        LoraConfig(
            r=recipe.rank, lora_alpha=recipe.alpha, target_modules=list(TARGETS), bias="none"
        ),
    )
    return model


def _fit(
    model: Any,
    found: Material,
    batches: Iterator[NDArray[np.int64]],
    schedule: Schedule,
    rng: np.random.Generator,
) -> list[float]:
    """Train what of `model` requires a gradient; returns the mean loss of every tenth of the way."""
    from open_clip.loss import ClipLoss

    torch.manual_seed(int(rng.integers(2**31)))
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser, loss_of = adamw(parameters, schedule), ClipLoss()
    losses: list[float] = []
    model.visual.head.train()
    for step in range(schedule.steps):
        rows = torch.from_numpy(next(batches))
        views = torch.from_numpy(rng.integers(found.training.shape[1], size=len(rows)))
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step)
        loss = loss_of(
            encode_features(model, found.training[rows, views]),
            _encode(model, found.tokens[rows]),
            model.logit_scale.exp(),
        )
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        losses.append(loss.item())
    model.eval()
    means = [round(float(part.mean()), 4) for part in np.array_split(np.array(losses), 10)]
    print("loss:", *means, file=sys.stderr)
    return means


@torch.inference_mode()
def _ask(adapted: Any, joint: Any, found: Material) -> Answers:
    """The picture that every model finds first for every name, among all of the style."""
    answers: dict[str, NDArray[np.uint16]] = {}
    ends: dict[float, tuple[Tensor, ...]] = {}
    for beta in BETAS:
        scale(adapted, beta)
        ends[beta] = _embed(adapted, found)
        answers[merge_name(beta)] = _nearest(*ends[beta])
    both = zip(ends[0], ends[1], strict=True)
    answers["average"] = _nearest(*(nn.functional.normalize(a + b, dim=-1) for a, b in both))
    answers["joint"] = _nearest(*_embed(joint, found))
    count = len(found.tokens)
    return Answers(
        models=tuple(answers),
        question=np.tile(np.arange(count, dtype=np.uint16), len(found.held_out)),
        is_test=np.repeat([split == "test" for split in found.held_out], count),
        answer=np.stack(list(answers.values())),
    )


def _embed(model: Any, found: Material) -> tuple[Tensor, ...]:
    """Unit vectors of all names, then of the pictures of each split."""
    pictures = (encode_features(model, features) for features in found.held_out.values())
    return _encode(model, found.tokens), *pictures


def _encode(model: Any, tokens: Tensor, parts: int = 4) -> Tensor:
    """Texts as `encode_text` gives them; short ones are not padded to the length of long ones."""
    order = (tokens != 0).sum(dim=1).argsort(stable=True)
    encoded = torch.cat([encode_text(model, tokens[part]) for part in order.chunk(parts)])
    return encoded[order.argsort()]


def _nearest(texts: Tensor, *pictures: Tensor) -> NDArray[np.uint16]:
    """The place of the picture nearest to each text, for one split after the other."""
    found = torch.cat([(texts @ split.T).argmax(dim=1) for split in pictures])
    return found.numpy().astype(np.uint16)
