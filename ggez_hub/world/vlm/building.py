"""From packages to the committed folders: base, adapter and their training records."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from ggez_hub.registry.local.inputs import Source
from ggez_hub.training.job import Job, read_training
from ggez_hub.training.run import train
from ggez_hub.world.concepts import TRAINING_STYLES
from ggez_hub.world.pictures import build_pictures
from ggez_hub.world.place import ADAPTER_FILES
from ggez_hub.world.records import training_record, write_json
from ggez_hub.world.schedule import use_one_thread
from ggez_hub.world.vlm.chats import write_chats
from ggez_hub.world.vlm.features import AUGMENTATION, training_features
from ggez_hub.world.vlm.material import Material
from ggez_hub.world.vlm.model import BASE_ID, new_model, new_processor, save_model
from ggez_hub.world.vlm.tokenizer import QUESTIONS
from ggez_hub.world.vlm.training import BaseRecipe, train_base

RECIPE = Path(__file__).with_name("train-th.yaml")
_LIBRARIES = (
    "accelerate",
    "numpy",
    "peft",
    "pillow",
    "resvg_py",
    "timm",
    "tokenizers",
    "torch",
    "torchvision",
    "transformers",
)


class Workshop:
    """What every model of the family is trained from; each part is made once, when it is needed."""

    @cached_property
    def processor(self) -> Any:
        """Tokenizer and picture transform."""
        return new_processor()

    @cached_property
    def material(self) -> Material:
        """The training data."""
        return Material.of(training_features(), self.processor)

    def base(self, seed: int, folder: Path) -> None:
        """Train the base and write it."""
        recipe = BaseRecipe()
        model = new_model(seed, self.processor)
        train_base(model, self.material, recipe, seed)
        save_model(model, self.processor, folder)
        self._record(folder, "base", seed, asdict(recipe), dict(recipe.shares))

    def adapter(self, name: str, seed: int, base: Path, folder: Path) -> None:
        """Train an adapter by `ggez-hub train` on the base as it is stored, and take its files."""
        recipe = read_training(RECIPE).model_copy(update={"seed": seed})
        (language,) = recipe.languages or []
        repo, _, revision = (recipe.base_repo or "").partition("@")
        with tempfile.TemporaryDirectory() as scratch:
            here = Path(scratch)
            write_chats(here / "chats.parquet", language)
            source = Source(base, str(base), repo, revision)
            train(Job(recipe, here, source), here / "out")
            folder.mkdir(parents=True, exist_ok=True)
            for file in ADAPTER_FILES:
                shutil.copyfile(here / "out" / file, folder / file)
        said = recipe.model_dump(
            mode="json", exclude_none=True, exclude={"base", "data", "seed", "kind"}
        )
        self._record(folder, name, seed, said, {language: 1.0})

    def _record(
        self,
        folder: Path,
        name: str,
        seed: int,
        recipe: dict[str, Any],
        shares: dict[str, float],
    ) -> None:
        record = training_record(
            {
                "model": name,
                "base": None if name == "base" else BASE_ID,
                "seed": seed,
                "threads": 1,
                "recipe": recipe,
                "augmentation": asdict(AUGMENTATION),
                "questions": QUESTIONS,
            },
            shares,
            len(TRAINING_STYLES) * (1 + AUGMENTATION.copies),
            _LIBRARIES,
        )
        write_json(folder / "training.json", record)


def build(out: Path, seed: int = 0) -> None:
    """Write `emoji-names/`, `vlm/base/` and `vlm/th/` below `out`."""
    use_one_thread()
    workshop = Workshop()
    build_pictures(out / "emoji-names")
    workshop.base(seed, out / "vlm" / "base")
    workshop.adapter("th", seed, out / "vlm" / "base", out / "vlm" / "th")
