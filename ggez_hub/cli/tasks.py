"""What commands that measure share: the tasks that are named, and where their data come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ggez_hub.cli.models import find_model
from ggez_hub.errors import UsageProblem

if TYPE_CHECKING:
    from ggez_hub.evaluation.benchmarks.benchmark import Benchmark, PictureSource
    from ggez_hub.evaluation.benchmarks.contents import Pool
    from ggez_hub.evaluation.benchmarks.drawing_task import DrawingTask
    from ggez_hub.evaluation.benchmarks.preparation import Judges, PreparedTask
    from ggez_hub.evaluation.benchmarks.task import Dataset, SplitName, Task
    from ggez_hub.evaluation.results.header import Origin, Place
    from ggez_hub.hub import Hub
    from ggez_hub.regions import Region

    AnyTask: TypeAlias = Benchmark | Task | DrawingTask

# Before a model among the commits: a data set may have the same name.
MODELS = "models/"


def find_tasks(suites: Sequence[str], include: Sequence[Path] = ()) -> list[AnyTask]:
    """The tasks of suites, each a folder or a name; raises BadTask and UsageProblem."""
    from ggez_hub.evaluation.benchmarks.benchmark import find_benchmarks
    from ggez_hub.evaluation.benchmarks.drawing_task import DrawingTask
    from ggez_hub.evaluation.benchmarks.task import BadTask, Task, read_tasks

    found: list[AnyTask] = []
    for suite in suites:
        here: list[AnyTask] = [*find_benchmarks(suite, include)]
        for path in sorted(Path(suite).glob("*.yaml")):
            here += read_tasks(path, Task, DrawingTask)
        if not here:
            raise BadTask(f"{suite} holds no tasks", "A task is YAML with `kind: benchmark`.")
        found += here
    if len({task.id for task in found}) != len(found):
        raise UsageProblem("two tasks of the suites have the same id", "Name each suite once.")
    return found


@dataclass(frozen=True)
class TaskData:
    """Where data sets come from: a folder of the user, or the hub.

    `folder` has them as OWNER/NAME; with `single` it may be the one data set itself. `methods`
    are how the model chooses. `commits` are those of data sets of the hub, `repo@revision` as a
    task names it: those that are known are read, and what `main` was when it was read is noted.
    """

    hub: Hub
    folder: Path | None
    pictures: Path | None
    methods: Sequence[str]
    pool: Pool
    single: bool = False
    commits: dict[str, str] = field(default_factory=dict)

    def prepare(
        self, tasks: Sequence[AnyTask], region: Region
    ) -> tuple[list[PreparedTask], tuple[str, ...]]:
        """The tasks with their questions, and the ids of those without items of the region."""
        from ggez_hub.evaluation.benchmarks.benchmark import Benchmark
        from ggez_hub.evaluation.benchmarks.drawing_task import DrawingTask
        from ggez_hub.evaluation.benchmarks.preparation import Judges, is_asked, prepare_tasks

        judges = Judges()
        prepared: dict[str, tuple[PreparedTask, ...]] = {}
        by_dataset: dict[Dataset, list[Task]] = {}
        for task in tasks:
            if isinstance(task, Benchmark):
                prepared[task.id] = self._benchmark(task, region)
            elif not is_asked(task, region):
                continue
            elif isinstance(task, DrawingTask):
                prepared[task.id] = (self._drawings(task, judges),)
            else:
                by_dataset.setdefault(task.dataset, []).append(task)
        for dataset, own in by_dataset.items():
            paths = sorted({path for task in own for path in task.splits.values()})
            data, revision = self._of(dataset, paths)
            for found in prepare_tasks(own, data, _splits(own), revision=revision):
                prepared[found.id] = (found,)
        order = [task.id for task in tasks]
        return (
            [found for name in order for found in prepared.get(name, ())],
            tuple(name for name in order if not prepared.get(name)),
        )

    def origin(
        self,
        tasks: Sequence[AnyTask],
        results: Path,
        model: Place,
        adapters: Sequence[Place],
        judge: Place | None,
    ) -> Origin:
        """What a results folder records of where all of it came from, once it is prepared."""
        from ggez_hub.evaluation.results.header import InFolder, Origin, definition

        data, pictures = (
            InFolder.of(folder, results) if folder else None
            for folder in (self.folder, self.pictures)
        )
        return Origin(
            model=model,
            adapters=list(adapters),
            judge=judge,
            tasks=[definition(task) for task in tasks],
            methods=list(self.methods),
            data=data,
            pictures=pictures,
            commits=self.commits,
        )

    def _benchmark(self, task: Benchmark, region: Region) -> tuple[PreparedTask, ...]:
        from ggez_hub.evaluation.benchmarks.contents import Folders
        from ggez_hub.evaluation.benchmarks.preparation import prepare_benchmark

        data, revision = self._of(task.dataset, list(task.files.values()))
        other = task.pictures
        images = self._of(other, [other.files])[0] if other else None
        folders = Folders(data, images, self.pictures, self.pool)
        return prepare_benchmark(task, folders, region, revision, self.methods)

    def _drawings(self, task: DrawingTask, judges: Judges) -> PreparedTask:
        from ggez_hub.evaluation.benchmarks.preparation import Places, prepare_drawings

        named = task.judge.references
        prompts, revision = self._of(task.dataset, [*task.splits.values(), named.candidates])
        references, _ = self._of(named.dataset, named.files)
        places = Places(prompts, self._judge(task.judge.model), references)
        return prepare_drawings(task, places, judges, revision=revision)

    def _judge(self, repo: str) -> Path:
        """The folder with the model that judges: where the data sets are, or the hub's."""
        if self.folder is not None and (self.folder / repo).is_dir():
            return self.folder / repo
        named = f"{MODELS}{repo}@main"
        found = find_model(f"{repo}@{self.commits.get(named, 'main')}", Path(), self.hub)
        if found.revision:
            self.commits[named] = found.revision
        return found.path

    def _of(self, dataset: Dataset | PictureSource, patterns: Sequence[str]) -> tuple[Path, str]:
        """The folder with the files of a data set that fit, and the commit that they are of."""
        from ggez_hub.evaluation.benchmarks.contents import fits
        from ggez_hub.evaluation.benchmarks.loaders.rows import BadItems

        if self.folder is not None:
            place = self.folder / dataset.repo
            if not place.is_dir() and self.single:
                place = self.folder
            if not place.is_dir():
                raise BadItems(
                    f"{self.folder} has no folder {dataset.repo}",
                    f"hf download --repo-type dataset {dataset.repo} --local-dir {place}",
                )
            return place, dataset.revision
        named = f"{dataset.repo}@{dataset.revision}"
        revision = self.commits.get(named, dataset.revision)
        at = self.hub.at_commit(dataset.repo, revision, "dataset")
        self.commits[named] = at.revision
        wanted = [f for f in at.files if any(fits(f.path, pattern) for pattern in patterns)]
        if not wanted:
            raise BadItems(
                f"{at.repo}@{at.revision[:12]} has no file like {', '.join(patterns)}",
                "Write its files' names into a task of your own.",
            )
        return self.hub.fetch(at.repo, at.revision, wanted, "dataset"), at.revision


def _splits(tasks: Sequence[Task]) -> list[SplitName]:
    """The splits that every task has."""
    shared = set.intersection(*(set(task.splits) for task in tasks))
    return [name for name in tasks[0].splits if name in shared]
