"""What `eval` and `sweep` were asked for, as every process opens it that answers a part of it."""

from __future__ import annotations

from dataclasses import dataclass
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
    from ggez_hub.evaluation.sweep.tasks import Points


@dataclass(frozen=True)
class AskedSweep:
    """A sweep: its recipe, the results folder, the hub, whether answers are kept in the user's cache."""

    recipe: Path
    target: Path
    hub: str
    cached: bool

    def open(self, meeting: Meeting) -> list[Points]:
        from ggez_hub.cli.measurement import open_recipe

        with connect(self.hub, quiet=True) as server:
            opened = open_recipe(
                self.recipe, self.target, server, cached=self.cached, meeting=meeting
            )
        return [opened.points(grid) for grid in opened.grids]


class OpenedEval(NamedTuple):
    """A model with its tasks; `empty` are those without items of the region."""

    named: NamedModel
    tasks: tuple[PreparedTask, ...]
    empty: tuple[str, ...]
    region: Region
    origin: Origin
    source: ModelProvider


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
