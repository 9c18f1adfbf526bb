"""The recipes of the paper's models, for those who have the GPUs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.sweep.recipe import SweepRecipe
from ggez_hub.paper.tables import PAPER
from ggez_hub.recipe_file import read_recipe, recipes_folder

# How each begins: what it makes again.
FIRST_LINE = re.compile(r"# Tables? ([0-9, and]+) of arXiv")


@dataclass(frozen=True)
class PaperRecipe:
    """A recipe of `sweep`: its file, its text with comments, and the tables that rest on it.

    unknown  the keys that the paper leaves open, and that have to be filled in
    """

    path: Path
    text: str
    recipe: SweepRecipe
    tables: tuple[str, ...]
    unknown: tuple[str, ...]


def paper_recipes(numbers: Iterable[str] = ()) -> tuple[PaperRecipe, ...]:
    """The recipes behind the tables `numbers`, or all; raises UsageProblem where there is none."""
    found = []
    for path in sorted((recipes_folder() / "papers" / PAPER).glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        first = FIRST_LINE.match(text)
        tables = tuple(re.findall(r"[0-9]+", first[1])) if first else ()
        recipe = read_recipe(path, "sweep", SweepRecipe)
        found.append(PaperRecipe(path, text, recipe, tables, recipe.blanks))
    asked = tuple(numbers)
    known = {table for recipe in found for table in recipe.tables}
    if missing := [number for number in asked if number not in known]:
        raise UsageProblem(
            f"no model is run for Table {missing[0]}",
            f"There are recipes for: {', '.join(sorted(known, key=int))}.",
        )
    return tuple(r for r in found if not asked or set(asked) & set(r.tables))
