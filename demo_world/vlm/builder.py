"""From packages to the committed folders: base, adapter and their training records."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from demo_world.emoji_names import build_pictures
from demo_world.schedule import Schedule, adamw, use_one_thread
from demo_world.training_records import LIBRARIES, write_record
from demo_world.vlm.model import BASE_ID, QUESTIONS, new_model, new_processor, save_model
from demo_world.vlm.training_data import (
    AUGMENTATION,
    IGNORED,
    Batch,
    Material,
    training_features,
    write_chats,
)
from ggez_hub.demo.world import VLM, FamilyFolders
from ggez_hub.registry.local_merge.inputs import ModelSource
from ggez_hub.training.job import Job, read_training
from ggez_hub.training.run import train


@dataclass(frozen=True)
class Regularisation:
    """What keeps the few pictures of a concept from being learnt by heart.

    `noise` is the deviation of what is added to the tower's output, in deviations of that output;
    `channel_dropout` the share of its channels that a picture loses.
    """

    label_smoothing: float = 0.05
    noise: float = 0.1
    channel_dropout: float = 0.2


@dataclass(frozen=True)
class BaseRecipe:
    """How the base is trained."""

    schedule: Schedule = field(
        default_factory=lambda: Schedule(steps=1000, batch_size=128, learning_rate=2e-3)
    )
    shares: Mapping[str, float] = field(default_factory=lambda: {"en": 0.95, "th": 0.05})
    regularisation: Regularisation = field(default_factory=Regularisation)


def train_base(model: Any, material: Material, recipe: BaseRecipe, seed: int) -> None:
    """Train all of `model` but its image tower, in place."""
    model.model.vision_tower.requires_grad_(False)
    schedule, regularisation = recipe.schedule, recipe.regularisation
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = adamw(parameters, schedule)
    noise = regularisation.noise * material.features.float().std().item()
    queue: list[int] = []
    for step in range(schedule.steps):
        if len(queue) < schedule.batch_size:
            queue = rng.permutation(len(material.features)).tolist()
        rows, queue = queue[: schedule.batch_size], queue[schedule.batch_size :]
        batch = material.draw(rows, recipe.shares, rng)
        varied = batch.features + noise * torch.randn_like(batch.features)
        varied = nn.functional.dropout1d(varied.transpose(1, 2), regularisation.channel_dropout)
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step)
        loss = nn.functional.cross_entropy(
            reply_logits(model, batch._replace(features=varied.transpose(1, 2))),
            batch.labels[batch.labels != IGNORED],
            label_smoothing=regularisation.label_smoothing,
        )
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()


def reply_logits(model: Any, batch: Batch) -> Tensor:
    """The logits of the tokens that have labels, in the order of `labels[labels != IGNORED]`.

    What `model(input_ids, pixel_values)` computes, from the tower's output on.
    """
    inner = model.model
    embedded = inner.get_input_embeddings()(batch.ids)
    seen = inner.multi_modal_projector(batch.features)
    places = (batch.ids == model.config.image_token_index).unsqueeze(-1)
    embedded = embedded.masked_scatter(places, seen)
    hidden = inner.language_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
    logits: Tensor = model.lm_head(hidden[:, :-1][batch.labels[:, 1:] != IGNORED])
    return logits


RECIPE = Path(__file__).with_name("train-th.yaml")
_LIBRARIES = (*LIBRARIES, "accelerate")


def build(out: Path, seed: int = 0) -> None:
    """Write `emoji-names/`, `vlm/base/` and `vlm/th/` below `out`."""
    use_one_thread()
    place = FamilyFolders(out, VLM)
    build_pictures(place.data)
    processor, recipe = new_processor(), BaseRecipe()
    model = new_model(seed, processor)
    train_base(model, Material.of(training_features(), processor), recipe, seed)
    save_model(model, processor, place.base)
    _record(place.base, seed, asdict(recipe), recipe.shares)
    _adapter(place, "th", seed)


def _adapter(place: FamilyFolders, name: str, seed: int) -> None:
    """Train an adapter by `ggez-hub train` on the base as it is stored, and take its files."""
    recipe = read_training(RECIPE).model_copy(update={"seed": seed})
    (language,) = recipe.languages or []
    repo, _, revision = (recipe.base_repo or "").partition("@")
    folder = place.adapter(name)
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        write_chats(here / "chats.parquet", language)
        train(
            Job(recipe, here, ModelSource(place.base, str(place.base), repo, revision)),
            here / "out",
        )
        folder.mkdir(parents=True, exist_ok=True)
        for file in VLM.files:
            shutil.copyfile(here / "out" / file, folder / file)
    settings = recipe.model_dump(
        mode="json", exclude_none=True, exclude={"base", "data", "seed", "kind"}
    )
    _record(folder, seed, settings, {language: 1.0})


def _record(
    folder: Path, seed: int, recipe: Mapping[str, Any], shares: Mapping[str, float]
) -> None:
    head = {"seed": seed, "recipe": recipe, "questions": QUESTIONS}
    write_record(folder, BASE_ID, head, AUGMENTATION, shares, _LIBRARIES)
