"""What a sweep's recipe names, opened: the models of its grid, and its tasks with their questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.cli.measuring import adapter_place, model_folder, trained_on
from ggez_hub.cli.task_data import TaskData, find_tasks
from ggez_hub.cli.under_test import ModelPlace

if TYPE_CHECKING:
    from ggez_hub.evaluation.prepared import Prepared
    from ggez_hub.evaluation.subjects import UnderTest
    from ggez_hub.evaluation.sweep import SweepRecipe, TrainedOn
    from ggez_hub.hub import Hub
    from ggez_hub.regions import Region


@dataclass(frozen=True)
class Opened:
    """A recipe with what it names; `place` keeps the models' answers."""

    recipe: SweepRecipe
    region: Region
    models: tuple[UnderTest, ...]
    tasks: tuple[Prepared, ...]
    trained_on: TrainedOn
    place: ModelPlace


def open_recipe(recipe: Path, target: Path, hub: Hub, *, cached: bool) -> Opened:
    """Read a recipe and fetch what it names; `target` is the results folder.

    Raises BadRecipe, UsageProblem, and what fetching, tasks and data raise.
    """
    from ggez_hub.evaluation.identity import Model
    from ggez_hub.evaluation.prepared import require_both_sides
    from ggez_hub.evaluation.subjects import grid_on
    from ggez_hub.evaluation.subjects.judging import with_judge
    from ggez_hub.evaluation.sweep import SweepRecipe
    from ggez_hub.families import get_family
    from ggez_hub.recipe_file import read_recipe
    from ggez_hub.regions import find_region

    asked, here = read_recipe(recipe, "sweep", SweepRecipe), recipe.parent
    region, family = find_region(asked.region), get_family(asked.family)
    base = model_folder(asked.base, here, hub)
    adapter = adapter_place(asked.adapter, here, hub)
    place = ModelPlace(hub, target, cached)
    judge = place.judge(asked.judge) if asked.judge else None
    model = Model(base, (adapter,), family)
    models = grid_on(model, sorted({0.0, *asked.betas}), place.way(family, judge))
    prepared = recipe_tasks(asked, here, hub, models[0].methods)
    require_both_sides((task.record.side for task in prepared), region)
    trained = asked.trained_on or trained_on(adapter)
    return Opened(asked, region, models, with_judge(prepared, judge), trained, place)


def recipe_tasks(
    asked: SweepRecipe, here: Path, hub: Hub, methods: Sequence[str]
) -> tuple[Prepared, ...]:
    """The tasks of a recipe in the folder `here` with their questions, by what it says or `methods`."""
    from ggez_hub.evaluation.benchmark_items import Pool
    from ggez_hub.regions import find_region

    suites = [asked.tasks] if isinstance(asked.tasks, str) else asked.tasks
    tasks = find_tasks([str(here / s) if (here / s).is_dir() else s for s in suites])
    data, pictures = (here / f if f is not None else None for f in (asked.data, asked.pictures))
    source = TaskData(hub, data, pictures, asked.methods or methods, Pool(), single=True)
    return tuple(source.prepare(tasks, find_region(asked.region))[0])
