"""From packages to the committed folders: data set, base, adapters and their training records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from demo_world.concepts import LANGUAGES, concepts
from demo_world.embedding.model import (
    AUGMENTATION,
    BASE_ID,
    CONTEXT_LENGTH,
    encode_features,
    encode_text,
    load_model,
    new_model,
    save_model,
    training_features,
)
from demo_world.emoji_names import build_pictures
from demo_world.schedule import Schedule, adamw, use_one_thread
from demo_world.tokenizer import train_tokenizer
from demo_world.training_records import LIBRARIES, save_adapter, write_record
from ggez_hub.demo.world import EMBEDDING, FamilyFolders

REGIONAL_LANGUAGES = LANGUAGES[1:]

# What LoRA adapts: modules whose PEFT keys name plain `X.weight` tensors. PEFT can adapt
# nn.MultiheadAttention too, but it merges and unmerges the weights around every call, and its keys
# stand for parameters that are no modules (`attn.lora_A` for `attn.in_proj_weight`). The text
# projection is left out because open_clip does not recognise a wrapped one.
TARGET_MODULES = ("c_fc", "c_proj", "token_embedding")


@dataclass(frozen=True)
class BaseRecipe:
    """How the base is trained."""

    schedule: Schedule = field(
        default_factory=lambda: Schedule(steps=1600, batch_size=342, learning_rate=2e-3)
    )
    shares: Mapping[str, float] = field(
        default_factory=lambda: {
            "en": 0.90,
            "th": 0.03,
            **dict.fromkeys(("vi", "id", "ms", "fil", "my", "km", "lo"), 0.01),
        }
    )


@dataclass(frozen=True)
class AdapterRecipe:
    """How an adapter is trained on top of the stored base."""

    languages: tuple[str, ...]
    schedule: Schedule
    rank: int = 16
    alpha: int = 32


ADAPTERS: Mapping[str, AdapterRecipe] = {
    "th": AdapterRecipe(
        ("th",), Schedule(steps=400, batch_size=342, learning_rate=4e-3, weight_decay=0.0)
    ),
    "southeast-asia": AdapterRecipe(
        REGIONAL_LANGUAGES,
        Schedule(steps=1200, batch_size=342, learning_rate=4e-3, weight_decay=0.0),
    ),
}


@dataclass(frozen=True)
class Material:
    """Features of the training pictures, tokens of every name, and where there is a name."""

    features: Tensor
    tokens: Mapping[str, Tensor]
    present: Mapping[str, Tensor]


def train_base(model: Any, material: Material, recipe: BaseRecipe, seed: int) -> None:
    """Train all of `model` but its image trunk, in place."""
    model.visual.trunk.requires_grad_(False)
    _fit(model, material, recipe.schedule, recipe.shares, seed)


def train_adapter(model: Any, material: Material, recipe: AdapterRecipe, seed: int) -> Any:
    """Wrap `model` with PEFT and train the LoRA factors alone; the PEFT model is returned."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        target_modules=list(TARGET_MODULES),
        lora_dropout=0.0,
        bias="none",
    )
    adapted = get_peft_model(model, config)
    _fit(
        model,
        material,
        recipe.schedule,
        dict.fromkeys(recipe.languages, 1 / len(recipe.languages)),
        seed,
    )
    return adapted


def _fit(
    model: Any, material: Material, schedule: Schedule, shares: Mapping[str, float], seed: int
) -> None:
    from open_clip.loss import ClipLoss

    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = adamw(parameters, schedule)
    loss_of = ClipLoss()
    model.visual.head.train()
    queue: list[int] = []
    for step in range(schedule.steps):
        if len(queue) < schedule.batch_size:
            queue = rng.permutation(len(material.features)).tolist()
        batch, queue = queue[: schedule.batch_size], queue[schedule.batch_size :]
        features, tokens = _draw(material, batch, shares, rng)
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step)
        loss = loss_of(
            encode_features(model, features), encode_text(model, tokens), model.logit_scale.exp()
        )
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
    model.eval()


def _draw(
    material: Material, batch: Sequence[int], shares: Mapping[str, float], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """One picture and one name for each concept; languages without a name give up their share."""
    languages, weights = list(shares), np.array(list(shares.values()))
    there = (
        np.stack([material.present[language][batch].numpy() for language in languages], axis=1)
        * weights
    )
    cumulative = np.cumsum(there / there.sum(axis=1, keepdims=True), axis=1)
    chosen = (rng.random((len(batch), 1)) > cumulative[:, :-1]).sum(axis=1)
    views = rng.integers(material.features.shape[1], size=len(batch))
    rows = torch.tensor(batch)
    tokens = torch.stack(
        [material.tokens[languages[choice]][row] for choice, row in zip(chosen, batch, strict=True)]
    )
    return material.features[rows, torch.from_numpy(views)], tokens


_LIBRARIES = (*LIBRARIES, "open_clip_torch")


def build(out: Path, seed: int = 0) -> None:
    """Write `emoji-names/`, `embedding/base/` and one folder per adapter below `out`."""
    use_one_thread()
    place = FamilyFolders(out, EMBEDDING)
    build_pictures(place.data)
    tokenizer = train_tokenizer(CONTEXT_LENGTH)
    material, recipe = _material(tokenizer), BaseRecipe()
    model = new_model(seed)
    train_base(model, material, recipe, seed)
    save_model(model, tokenizer, place.base)
    _record(place.base, seed, recipe, recipe.shares)
    for name, adapter in ADAPTERS.items():
        # On the base as it is stored.
        adapted = train_adapter(load_model(place.base), material, adapter, seed)
        save_adapter(adapted, place.adapter(name), BASE_ID)
        shares = dict.fromkeys(adapter.languages, round(1 / len(adapter.languages), 4))
        _record(place.adapter(name), seed, adapter, shares)


def _material(tokenizer: Any) -> Material:
    """The training data.

    Names are tokenised as CLDR writes them. `open_clip.get_tokenizer` straightens curly quotes
    first, so it gives other tokens for 95 names (37 English, 17 Thai, 41 of four others) than the
    models were trained on.
    """

    def tokens(language: str) -> Tensor:
        found: Tensor = tokenizer(
            [concept.names[language] or "" for concept in concepts()],
            padding="max_length",
            truncation=True,
            return_tensors="pt",
        ).input_ids
        return found

    return Material(
        features=training_features(AUGMENTATION),
        tokens={language: tokens(language) for language in LANGUAGES},
        present={
            language: torch.tensor([concept.names[language] is not None for concept in concepts()])
            for language in LANGUAGES
        },
    )


def _record(
    folder: Path, seed: int, recipe: BaseRecipe | AdapterRecipe, shares: Mapping[str, float]
) -> None:
    head = {"seed": seed, "recipe": asdict(recipe)}
    write_record(folder, BASE_ID, head, AUGMENTATION, shares, _LIBRARIES)
