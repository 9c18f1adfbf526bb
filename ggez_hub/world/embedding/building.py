"""From packages to the committed folders: data set, base, adapters and their training records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ggez_hub.world.concepts import LANGUAGES, concepts
from ggez_hub.world.embedding.features import AUGMENTATION, training_features
from ggez_hub.world.embedding.model import (
    BASE_ID,
    CONTEXT_LENGTH,
    load_model,
    new_model,
    save_model,
)
from ggez_hub.world.embedding.training import (
    ADAPTERS,
    AdapterRecipe,
    BaseRecipe,
    Material,
    train_adapter,
    train_base,
)
from ggez_hub.world.parts import EMBEDDING
from ggez_hub.world.pictures import build_pictures
from ggez_hub.world.place import Place
from ggez_hub.world.records import LIBRARIES, save_adapter, write_record
from ggez_hub.world.schedule import use_one_thread
from ggez_hub.world.tokenizer import train_tokenizer

_LIBRARIES = (*LIBRARIES, "open_clip_torch")


def build(out: Path, seed: int = 0) -> None:
    """Write `emoji-names/`, `embedding/base/` and one folder per adapter below `out`."""
    use_one_thread()
    place = Place(out, EMBEDDING)
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
