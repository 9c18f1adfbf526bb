"""From packages to the committed folders: data set, base, adapters and their training records."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ggez_hub.world.concepts import LANGUAGES, concepts
from ggez_hub.world.embedding.features import AUGMENTATION, held_out_features, training_features
from ggez_hub.world.embedding.model import (
    BASE_ID,
    CONTEXT_LENGTH,
    load_model,
    new_model,
    save_model,
)
from ggez_hub.world.embedding.recall import beta_curve
from ggez_hub.world.embedding.training import (
    ADAPTERS,
    AdapterRecipe,
    BaseRecipe,
    Material,
    train_adapter,
    train_base,
)
from ggez_hub.world.pictures import SPLITS, build_pictures
from ggez_hub.world.records import save_adapter, training_record, write_json
from ggez_hub.world.schedule import use_one_thread
from ggez_hub.world.tokenizer import train_tokenizer

_LIBRARIES = (
    "numpy",
    "open_clip_torch",
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
    def tokenizer(self) -> Any:
        """The tokenizer of all languages."""
        return train_tokenizer(CONTEXT_LENGTH)

    @cached_property
    def names(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Language -> tokens of every concept's name, and whether there is one.

        These are the names as CLDR writes them. `open_clip.get_tokenizer` straightens curly quotes
        first, so it gives other tokens for 95 names (37 English, 17 Thai, 41 of four others) than
        the models were trained on.
        """
        return {
            language: (
                self.tokenizer(
                    [concept.names[language] or "" for concept in concepts()],
                    padding="max_length",
                    truncation=True,
                    return_tensors="pt",
                ).input_ids,
                torch.tensor([concept.names[language] is not None for concept in concepts()]),
            )
            for language in LANGUAGES
        }

    @cached_property
    def material(self) -> Material:
        """The training data."""
        return Material(
            features=training_features(AUGMENTATION),
            tokens={language: tokens for language, (tokens, _) in self.names.items()},
            present={language: present for language, (_, present) in self.names.items()},
        )

    def base(self, seed: int, folder: Path) -> None:
        """Train the base and write it."""
        recipe = BaseRecipe()
        model = new_model(seed)
        train_base(model, self.material, recipe, seed)
        save_model(model, self.tokenizer, folder)
        self._record(folder, "base", seed, recipe, dict(recipe.shares))

    def adapter(self, name: str, seed: int, base: Path, folder: Path) -> None:
        """Train an adapter on the base as it is stored, and write it."""
        recipe = ADAPTERS[name]
        adapted = train_adapter(load_model(base), self.material, recipe, seed)
        save_adapter(adapted, folder, BASE_ID)
        shares = dict.fromkeys(recipe.languages, round(1 / len(recipe.languages), 4))
        self._record(folder, name, seed, recipe, shares)

    def _record(
        self,
        folder: Path,
        name: str,
        seed: int,
        recipe: BaseRecipe | AdapterRecipe,
        shares: dict[str, float],
    ) -> None:
        record = training_record(
            {
                "model": name,
                "base": None if name == "base" else BASE_ID,
                "seed": seed,
                "threads": 1,
                "recipe": asdict(recipe),
                "augmentation": asdict(AUGMENTATION),
            },
            shares,
            self.material.features.shape[1],
            _LIBRARIES,
        )
        write_json(folder / "training.json", record)


def build(out: Path, seed: int = 0) -> None:
    """Write `emoji-names/`, `embedding/base/` and one folder per adapter below `out`."""
    use_one_thread()
    workshop = Workshop()
    base = out / "embedding" / "base"
    build_pictures(out / "emoji-names")
    workshop.base(seed, base)
    for name in ADAPTERS:
        workshop.adapter(name, seed, base, out / "embedding" / name)


def measure_seeds(out: Path, seeds: Sequence[int]) -> None:
    """Write `embedding/seeds.json`: the scores of base and `th` over beta, for several seeds.

    The models of these seeds are trained anew in a temporary folder; `out` must hold the data set.
    """
    use_one_thread()
    workshop = Workshop()
    features = {
        split: held_out_features(out / "emoji-names" / "data" / f"{split}.parquet")
        for split in SPLITS
    }
    names = {language: workshop.names[language] for language in ("en", "th")}
    curves = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            base, adapter = Path(folder, "base"), Path(folder, "th")
            workshop.base(seed, base)
            workshop.adapter("th", seed, base, adapter)
            curves.append(
                {"seed": seed, "curve": beta_curve(load_model(base), adapter, features, names)}
            )
    write_json(
        out / "embedding" / "seeds.json",
        {
            "metric": "text-to-image recall at 1",
            "names": "tokenised as in training: open_clip's own cleaning of quotes is not applied",
            "candidates": len(concepts()),
            "adapter": "th",
            "seeds": curves,
        },
    )
