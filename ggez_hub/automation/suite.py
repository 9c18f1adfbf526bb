"""The tasks by which the registry measures a family, and their data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from pydantic import Field

from ggez_hub.cards import AdapterCard
from ggez_hub.cards.measurements import ClosedRule
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.benchmark import Benchmark, find_benchmarks
from ggez_hub.evaluation.benchmarks.preparation import (
    is_asked,
    require_both_sides,
)
from ggez_hub.evaluation.benchmarks.task import DrawingTask, Task, load_tasks
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.recipe_file import read_recipe, recipes_folder
from ggez_hub.regions import find_region

RECIPE = "evaluation.yaml"
AnyTask: TypeAlias = Task | DrawingTask


class Suite(FrozenModel, strict=False):
    """A folder of tasks below recipes/, and the betas."""

    tasks: str
    betas: list[float] = Field(min_length=2)


class EvaluationRecipe(FrozenModel, strict=False):
    """recipes/evaluation.yaml: a suite for each family that can be measured.

    safety  family -> the suite of safety that is asked beside its own
    closed  the part of the test side whose answers are not published; none if left out
    """

    kind: str
    suites: Mapping[str, Suite]
    safety: Mapping[str, str] = Field(default_factory=dict)
    closed: ClosedRule | None = None


def suite_of(card: AdapterCard) -> tuple[Suite, tuple[AnyTask, ...]]:
    """The betas and tasks by which the registry measures `card`.

    Raises GgezError if there are none, and UsageProblem where a side has no task.
    """
    recipe = _recipe()
    suite = recipe.suites.get(card.family)
    if suite is None:
        raise GgezError(
            f"the registry has no tasks for the family {card.family}",
            f"Add a suite to recipes/{RECIPE}; until then the adapter stays {card.level}.",
        )
    folder, region = recipes_folder() / suite.tasks, find_region(card.region)
    found: tuple[AnyTask, ...] = load_tasks(folder, Task, DrawingTask)
    tasks = tuple(task for task in found if is_asked(task, region))
    require_both_sides((task.side for task in tasks), region)
    return suite, tasks


def safety_of(card: AdapterCard) -> tuple[Benchmark, ...]:
    """The tasks of safety that are asked beside those of `suite_of`; none for some families."""
    suite = _recipe().safety.get(card.family)
    return () if suite is None else find_benchmarks(suite)


def closed_rule() -> ClosedRule | None:
    """The rule for pictures of the test side whose answers are not published; None without one."""
    return _recipe().closed


def task_counts(recipes: Path) -> dict[str, int]:
    """How many tasks a registry has for each family; raises BadRecipe, and GgezError for none."""
    return {
        family: len(load_tasks(recipes / suite.tasks, Task, DrawingTask))
        for family, suite in _recipe(recipes).suites.items()
    }


def _recipe(recipes: Path | None = None) -> EvaluationRecipe:
    return read_recipe((recipes or recipes_folder()) / RECIPE, "evaluation", EvaluationRecipe)
