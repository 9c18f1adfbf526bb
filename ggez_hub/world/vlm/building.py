"""From packages to the committed folders: base, adapter and their training records."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ggez_hub.registry.local.inputs import Source
from ggez_hub.training.job import Job, read_training
from ggez_hub.training.run import train
from ggez_hub.world.parts import VLM
from ggez_hub.world.pictures import build_pictures
from ggez_hub.world.place import Place
from ggez_hub.world.records import LIBRARIES, write_record
from ggez_hub.world.schedule import use_one_thread
from ggez_hub.world.vlm.chats import write_chats
from ggez_hub.world.vlm.features import AUGMENTATION, training_features
from ggez_hub.world.vlm.material import Material
from ggez_hub.world.vlm.model import BASE_ID, new_model, new_processor, save_model
from ggez_hub.world.vlm.tokenizer import QUESTIONS
from ggez_hub.world.vlm.training import BaseRecipe, train_base

RECIPE = Path(__file__).with_name("train-th.yaml")
_LIBRARIES = (*LIBRARIES, "accelerate")


def build(out: Path, seed: int = 0) -> None:
    """Write `emoji-names/`, `vlm/base/` and `vlm/th/` below `out`."""
    use_one_thread()
    place = Place(out, VLM)
    build_pictures(place.data)
    processor, recipe = new_processor(), BaseRecipe()
    model = new_model(seed, processor)
    train_base(model, Material.of(training_features(), processor), recipe, seed)
    save_model(model, processor, place.base)
    _record(place.base, seed, asdict(recipe), recipe.shares)
    _adapter(place, "th", seed)


def _adapter(place: Place, name: str, seed: int) -> None:
    """Train an adapter by `ggez-hub train` on the base as it is stored, and take its files."""
    recipe = read_training(RECIPE).model_copy(update={"seed": seed})
    (language,) = recipe.languages or []
    repo, _, revision = (recipe.base_repo or "").partition("@")
    folder = place.adapter(name)
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        write_chats(here / "chats.parquet", language)
        train(Job(recipe, here, Source(place.base, str(place.base), repo, revision)), here / "out")
        folder.mkdir(parents=True, exist_ok=True)
        for file in VLM.files:
            shutil.copyfile(here / "out" / file, folder / file)
    said = recipe.model_dump(
        mode="json", exclude_none=True, exclude={"base", "data", "seed", "kind"}
    )
    _record(folder, seed, said, {language: 1.0})


def _record(
    folder: Path, seed: int, recipe: Mapping[str, Any], shares: Mapping[str, float]
) -> None:
    head = {"seed": seed, "recipe": recipe, "questions": QUESTIONS}
    write_record(folder, BASE_ID, head, AUGMENTATION, shares, _LIBRARIES)
