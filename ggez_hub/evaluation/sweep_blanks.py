"""What a recipe of a sweep leaves open: its keys that say `unknown`, as those of a paper's models do."""

from __future__ import annotations

from pathlib import Path

from ggez_hub.evaluation.sweep import SweepRecipe
from ggez_hub.recipe_file import BadRecipe

UNKNOWN = "unknown"
KEYS = ("base", "adapter", "tasks", "judge")


def blanks(recipe: SweepRecipe) -> tuple[str, ...]:
    """The keys that have to be filled in before it can be run."""
    return tuple(key for key in KEYS if UNKNOWN in _listed(getattr(recipe, key)))


def require_filled_in(recipe: SweepRecipe, path: Path) -> None:
    """Raise BadRecipe for a recipe that leaves something open."""
    if left := blanks(recipe):
        raise BadRecipe(
            f"{path} leaves open: {', '.join(left)}",
            "Copy it, and write what you mean in place of `unknown`; its comments say what is known.",
        )


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
