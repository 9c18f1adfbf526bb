"""Recipes: YAML files with a `kind:`; everything that is off is named with line, key and mend."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from ggez_hub.bounded_text import read_text
from ggez_hub.cards import front_matter
from ggez_hub.cards.lines import Lines
from ggez_hub.errors import UsageProblem
from ggez_hub.mends import problems

M = TypeVar("M", bound=BaseModel)

MAX_RECIPE_BYTES = 8_000_000


class BadRecipe(UsageProblem):
    """A recipe cannot be read or does not follow its schema; the message names every key."""


def read_recipe(path: Path, kind: str, schema: type[M]) -> M:
    """The recipe in a file as `schema`, which has a field `kind`; raises BadRecipe."""
    try:
        text = read_text(path, MAX_RECIPE_BYTES)
        loaded = front_matter.load(text)
    except (OSError, ValueError) as error:
        said = str(error).replace("the front matter", "the YAML")
        raise BadRecipe(f"{path} cannot be read: {said}", "It has to be YAML in UTF-8.") from error
    if loaded.get("kind") != kind:
        raise BadRecipe(f"{path} is no {kind}", f"It has to say `kind: {kind}`.")
    try:
        return schema.model_validate(loaded)
    except ValidationError as error:
        lines = Lines.of(text, 1)
        found = [f"  line {lines.of_key(p.path)}: {p}" for p in problems(error)]
        raise BadRecipe("\n".join([f"{path}: {len(found)} keys are off", *found])) from error
