"""The points of a sweep as tasks: each is answered by one model, in whatever process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.execution import Engine, run_tasks
from ggez_hub.hub_connection import connect
from ggez_hub.progress import task

if TYPE_CHECKING:
    from ggez_hub.cli.measurement import OpenedSweep


@dataclass(frozen=True)
class AskedSweep:
    """A sweep as it was asked for: its recipe, the results folder, the hub, whether answers are kept."""

    recipe: Path
    target: Path
    hub: str
    cached: bool


def answer_points(asked: AskedSweep, opened: OpenedSweep, engine: Engine) -> None:
    """Have every point of every grid answered where `engine` says; then `sweep` asks nothing of them.

    A point is asked all tasks in their order, as in one process, so that its answers are the same to
    the last bit on machines that compute alike. The folders have to be the same on all of them.
    """
    from ggez_hub.evaluation.sweep.run import work_folder

    # Whether there is a GPU is known on the nodes.
    device = "" if engine.kind == "local" else "cuda"
    with engine.open() as executor:
        for number, grid in enumerate(opened.grids):
            work = work_folder(grid.models, opened.tasks, opened.region, grid.results)
            with task("points", len(grid.models)) as answering:
                run_tasks(
                    executor,
                    partial(_answer_point, asked, number),
                    len(grid.models),
                    work / "points",
                    device=device,
                    did=answering.advance,
                )


def _answer_point(asked: AskedSweep, grid: int, number: int) -> None:
    from ggez_hub.evaluation.sweep.run import KeptAnswers, measure, work_folder

    opened = _opened(asked)
    found = opened.grids[grid]
    work = work_folder(found.models, opened.tasks, opened.region, found.results)
    measure(
        [found.models[number]],
        opened.tasks,
        known=lambda model: opened.source.known(model, work),
        answers=KeptAnswers(work),
    )


@lru_cache(1)
def _opened(asked: AskedSweep) -> OpenedSweep:
    """The recipe, opened in this process: its models stay in memory from one point to the next."""
    from ggez_hub.cli.measurement import open_recipe

    with connect(asked.hub, quiet=True) as server:
        return open_recipe(asked.recipe, asked.target, server, cached=asked.cached)
