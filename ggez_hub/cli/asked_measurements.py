"""What `eval` and `sweep` were asked for, as every process opens it that answers a part of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ggez_hub.cli.models import ModelProvider, NamedModel
from ggez_hub.errors import UsageProblem
from ggez_hub.hub import Hub
from ggez_hub.hub_connection import connect
from ggez_hub.regions import Region, find_region

if TYPE_CHECKING:
    from ggez_hub.evaluation.answers.meeting import Meeting
    from ggez_hub.evaluation.benchmarks.preparation import PreparedTask
    from ggez_hub.evaluation.results.header import Origin
    from ggez_hub.evaluation.sweep.recipe import SweepRecipe
    from ggez_hub.evaluation.sweep.tasks import Points


@dataclass(frozen=True)
class AskedSweep:
    """A sweep: its recipe with absolute paths, the recipe's folder, the results folder, the hub.

    cached  whether answers are kept in the user's cache
    """

    recipe: SweepRecipe = field(hash=False)
    folder: Path
    target: Path
    hub: str
    cached: bool

    @property
    def inputs(self) -> tuple[Path, ...]:
        return self.recipe.local

    def open(self, meeting: Meeting) -> list[Points]:
        from ggez_hub.cli.measurement import open_sweep

        with connect(self.hub, quiet=True) as server:
            opened = open_sweep(
                self.recipe, self.folder, self.target, server, cached=self.cached, meeting=meeting
            )
        return [opened.points(grid) for grid in opened.grids]


class OpenedEval(NamedTuple):
    """A model with its tasks; `empty` are those without items of the region.

    `data_bytes` asks the hub how large the tasks' data are that are fetched from it.
    """

    named: NamedModel
    tasks: tuple[PreparedTask, ...]
    empty: tuple[str, ...]
    region: Region
    origin: Origin
    source: ModelProvider
    data_bytes: Callable[[], int]


@dataclass(frozen=True)
class AskedEval:
    """One model and the suites that it is asked, as the options of `eval` name them."""

    model: str
    adapter: str | None
    beta: float | None
    judge: str | None
    suites: tuple[str, ...]
    region: str
    target: Path
    include: tuple[Path, ...]
    data: Path | None
    pictures: Path | None
    cached: bool
    key_variable: str | None
    parallel: int
    hub: str

    @property
    def inputs(self) -> tuple[Path, ...]:
        named = (self.model, self.adapter, self.judge, *self.suites)
        here = [path for path in (Path(name) for name in named if name) if path.is_absolute()]
        return (*here, *self.include, *(each for each in (self.data, self.pictures) if each))

    def find(self, server: Hub, meeting: Meeting | None = None) -> OpenedEval:
        """Fetch and open what is named; raises UsageProblem, and what fetching, tasks and data raise."""
        from ggez_hub.evaluation.models.judge_model import with_judge
        from ggez_hub.registry.task_data import TaskData, find_tasks

        if (self.adapter is None) != (self.beta is None):
            raise UsageProblem(
                "--adapter and --beta go together", "eval BASE --adapter DIR --beta 0.5"
            )
        region = find_region(self.region)
        tasks = find_tasks(self.suites, self.include)
        source = ModelProvider(
            server, self.target, self.cached, self.key_variable, self.parallel, meeting
        )
        judge, judge_place = source.judge(self.judge) if self.judge else (None, None)
        named = source.model(self.model, self.adapter, self.beta, judge)
        data = TaskData(server, self.data, self.pictures, named.subject.methods)
        prepared, empty = data.prepare(tasks, region)
        return OpenedEval(
            named,
            with_judge(prepared, judge, named.subject.methods),
            empty,
            region,
            data.origin(tasks, self.target, named.place, named.adapters, judge_place),
            source,
            partial(data.nbytes, tasks),
        )

    def open(self, meeting: Meeting) -> list[Points]:
        with connect(self.hub, quiet=True) as server:
            return [points_of(self.find(server, meeting), self.target)]


def points_of(opened: OpenedEval, target: Path) -> Points:
    """The one model, as a grid of one point."""
    from ggez_hub.evaluation.sweep.run import work_folder
    from ggez_hub.evaluation.sweep.tasks import Points

    models = (opened.named.subject,)
    work = work_folder(models, opened.tasks, opened.region, target)
    return Points(models, opened.tasks, work, lambda model: opened.source.known(model, work))
