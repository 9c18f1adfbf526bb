"""Recipes: YAML files with a `kind:`; errors name line, key and reason. The folder of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ggez_hub.errors import UsageProblem
from ggez_hub.safe_yaml import load_mapping
from ggez_hub.text_files import read_text
from ggez_hub.validation_errors import problems
from ggez_hub.yaml_text import Lines

M = TypeVar("M", bound=BaseModel)

MAX_RECIPE_BYTES = 8_000_000
_PACKAGE = Path(__file__).parent


class BadRecipe(UsageProblem):
    """A recipe cannot be read or does not follow its schema; the message names every key."""


def read_recipe(path: Path, kind: str, schema: type[M]) -> M:
    """The recipe in a file as `schema`, which has a field `kind`; raises BadRecipe."""
    try:
        text = read_text(path, MAX_RECIPE_BYTES)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return parse_recipe(text, path, kind, schema)


def kind_of(text: str, path: Path | str) -> object:
    """The value of `kind:` in the text of a recipe; raises BadRecipe for what is not YAML."""
    return _loaded(text, path).get("kind")


def parse_recipe(text: str, path: Path | str, kind: str, schema: type[M]) -> M:
    """The recipe in a text, which messages call `path`; raises BadRecipe."""
    loaded = _loaded(text, path)
    if loaded.get("kind") != kind:
        raise BadRecipe(
            f"{path} is not a recipe of the kind {kind}", f"It has to say `kind: {kind}`."
        )
    try:
        return schema.model_validate(loaded)
    except ValidationError as error:
        found = Lines.of(text, 1).listed(problems(error, schema))
        raise BadRecipe(f"{path} is not a valid {kind}:\n{found}") from error


def _loaded(text: str, path: Path | str) -> dict[str, Any]:
    try:
        return load_mapping(text)
    except ValueError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path | str, error: Exception) -> BadRecipe:
    return BadRecipe(f"{path} cannot be read: {error}", "It has to be YAML in UTF-8.")


def recipes_folder() -> Path:
    """The folder of our recipes: in the wheel, or in the checkout."""
    installed = _PACKAGE / "recipes"
    return installed if installed.is_dir() else _PACKAGE.parent / "recipes"
