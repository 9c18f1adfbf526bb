"""The recipes of the paper's models, for those who have the GPUs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.paper.printed import PAPER
from ggez_hub.resources import recipes


@dataclass(frozen=True)
class PaperRecipe:
    """A recipe: its file, its text with comments, and what YAML makes of it."""

    path: Path
    text: str
    content: dict[str, Any]


def paper_recipes(numbers: Iterable[str] = ()) -> tuple[PaperRecipe, ...]:
    """The recipes behind the tables `numbers`, or all; raises UsageProblem where there is none."""
    found = []
    for path in sorted((recipes() / "papers" / PAPER).glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        found.append(PaperRecipe(path, text, yaml.safe_load(text)))
    asked = tuple(numbers)
    known = {table for recipe in found for table in recipe.content["tables"]}
    if missing := [number for number in asked if number not in known]:
        raise UsageProblem(
            f"no model is run for Table {missing[0]}",
            f"There are recipes for: {', '.join(sorted(known, key=int))}.",
        )
    return tuple(r for r in found if not asked or set(asked) & set(r.content["tables"]))
