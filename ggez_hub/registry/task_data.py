"""Tasks by their names, and their data: from a folder or a hub, at commits that are recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, cast

from ggez_hub import __version__
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.evaluation.benchmarks.benchmark import Benchmark, PictureSource, find_benchmarks
from ggez_hub.evaluation.benchmarks.contents import Folders, Pool, fits
from ggez_hub.evaluation.benchmarks.datasets import SHIPPED
from ggez_hub.evaluation.benchmarks.drawings import Judges, Places, prepare_drawings
from ggez_hub.evaluation.benchmarks.loaders import LOADERS
from ggez_hub.evaluation.benchmarks.preparation import (
    PreparedTask,
    is_asked,
    prepare_benchmark,
    prepare_tasks,
)
from ggez_hub.evaluation.benchmarks.task import Dataset, DrawingTask, SplitName, Task, read_tasks
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.evaluation.results.header import InFolder, Origin, Place, definition
from ggez_hub.evaluation.sea_helm.task_files import read_task_files
from ggez_hub.hub import Hub, HubFile, RepoAtCommit
from ggez_hub.parquet import read_footer
from ggez_hub.regions import Region, find_region
from ggez_hub.registry.file_checks import model_files

AnyTask: TypeAlias = Benchmark | Task | DrawingTask

# Before a model among the commits: a data set may have the same name.
MODELS = "models/"


def find_tasks(suites: Sequence[str], include: Sequence[Path] = ()) -> list[AnyTask]:
    """The tasks of suites, each a folder or a name; raises GgezError."""
    found: list[AnyTask] = []
    for suite in suites:
        here: list[AnyTask] = [*find_benchmarks(suite, include)]
        if Path(suite).is_dir():
            here += read_task_files(Path(suite))
        for path in sorted(Path(suite).glob("*.yaml")):
            here += read_tasks(path, Task, DrawingTask)
        if not here:
            raise GgezError(f"{suite} holds no tasks", "A task is YAML with `kind: benchmark`.")
        found += here
    if len({task.id for task in found}) != len(found):
        raise UsageProblem("two tasks of the suites have the same id", "Name each suite once.")
    return found


@dataclass(frozen=True)
class Listed:
    """A repository at a commit, and those of its files that are needed."""

    at: RepoAtCommit
    files: tuple[HubFile, ...]
    repo_type: str

    def fetch(self, hub: Hub) -> Path:
        return hub.fetch(self.at.repo, self.at.revision, self.files, self.repo_type)


@dataclass(frozen=True)
class TaskData:
    """Where data sets come from: a folder of the user, or the hub.

    `folder` has them as OWNER/NAME; with `single` it may be the one data set itself. `methods`
    are how the model chooses. `commits` are those of data sets of the hub, `repo@revision` as a
    task names it: those that are known are read, and what `main` was when it was read is noted.
    """

    hub: Hub
    folder: Path | None = None
    pictures: Path | None = None
    methods: Sequence[str] = ()
    single: bool = False
    commits: dict[str, str] = field(default_factory=dict)
    pool: Pool = field(default_factory=Pool)
    _counts: dict[str, int] = field(default_factory=dict, repr=False)

    def prepare(
        self, tasks: Sequence[AnyTask], region: Region
    ) -> tuple[list[PreparedTask], tuple[str, ...]]:
        """The tasks with their questions, and the ids of those without items of the region."""
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
            data, revision = self.fetch(dataset, paths)
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

    def nbytes(self, tasks: Sequence[AnyTask]) -> int:
        """The bytes that tasks need of the hub, none where a folder has them; nothing is fetched."""
        if self.folder is not None:
            return 0
        paths: dict[Dataset | PictureSource, set[str]] = {}
        for task in tasks:
            for dataset, patterns in _needed(task):
                if dataset.repo in SHIPPED:
                    continue
                paths.setdefault(dataset, set()).update(patterns)
        needed = [self._list(dataset, sorted(own)) for dataset, own in paths.items()]
        needed += [self._list_judge(model) for model in {m for t in tasks for m in _judges(t)}]
        return sum(file.size for listed in needed for file in listed.files)

    def rows(self, task: AnyTask) -> int | None:
        """The rows with the items of a task, by the footers of its files on the hub; nothing is fetched.

        None where a file is not Parquet. Raises GgezError for one that cannot be read.
        """
        if isinstance(task, Benchmark):
            counted = LOADERS[task.loader].counted
            patterns = [task.files[counted]] if counted else [*task.files.values()]
        else:
            patterns = [*task.splits.values()]
        listed = self._list(task.dataset, patterns)
        if not all(file.path.endswith(".parquet") for file in listed.files):
            return None
        return sum(self._rows_in(listed.at, file) for file in listed.files)

    def _rows_in(self, at: RepoAtCommit, file: HubFile) -> int:
        key = f"{at.repo}@{at.revision}/{file.path}"
        if key not in self._counts:

            def read(start: int, end: int) -> bytes:
                return self.hub.read_range(at.repo, at.revision, file.path, start, end, "dataset")

            try:
                self._counts[key] = int(read_footer(file.size, read).num_rows)
            except (ValueError, OSError) as error:
                raise GgezError(f"{file.path} of {at.repo} cannot be read: {error}") from error
        return self._counts[key]

    def fetch(self, dataset: Dataset | PictureSource, patterns: Sequence[str]) -> tuple[Path, str]:
        """The folder with the files of a data set that fit, and the commit that they are of."""
        if (shipped := SHIPPED.get(dataset.repo)) is not None:
            return shipped, f"shipped with ggez-hub {__version__}"
        if self.folder is None:
            listed = self._list(dataset, patterns)
            return listed.fetch(self.hub), listed.at.revision
        place = self.folder / dataset.repo
        if not place.is_dir() and self.single:
            place = self.folder
        if not place.is_dir():
            raise GgezError(
                f"{self.folder} has no folder {dataset.repo}",
                f"hf download --repo-type dataset {dataset.repo} --local-dir {place}",
            )
        return place, dataset.revision

    def _benchmark(self, task: Benchmark, region: Region) -> tuple[PreparedTask, ...]:
        data, revision = self.fetch(task.dataset, list(task.files.values()))
        other = task.pictures
        images = self.fetch(other, [other.files])[0] if other else None
        folders = Folders(data, images, self.pictures, self.pool)
        return prepare_benchmark(task, folders, region, revision, self.methods)

    def _drawings(self, task: DrawingTask, judges: Judges) -> PreparedTask:
        (prompts, revision), (references, _) = (self.fetch(*needed) for needed in _needed(task))
        judge = self.folder / task.judge.model if self.folder is not None else None
        if judge is None or not judge.is_dir():
            judge = self._list_judge(task.judge.model).fetch(self.hub)
        places = Places(prompts, judge, references)
        return prepare_drawings(task, places, judges, revision=revision)

    def _list(self, dataset: Dataset | PictureSource, patterns: Sequence[str]) -> Listed:
        at = self._at(f"{dataset.repo}@{dataset.revision}", "dataset")
        files = [f for f in at.files if any(fits(f.path, pattern) for pattern in patterns)]
        if not files:
            raise GgezError(
                f"{at.repo}@{at.revision[:12]} has no file like {', '.join(patterns)}",
                "Write its files' names into a task of your own.",
            )
        return Listed(at, tuple(files), "dataset")

    def _list_judge(self, model: str) -> Listed:
        at = self._at(f"{MODELS}{model}@main", "model")
        return Listed(at, tuple(file.as_hub_file() for file in model_files(at)), "model")

    def _at(self, named: str, repo_type: str) -> RepoAtCommit:
        """A repository at its recorded commit, or at its current one, which is recorded."""
        repo, _, revision = named.removeprefix(MODELS).rpartition("@")
        at = self.hub.at_commit(repo, self.commits.get(named, revision), repo_type)
        self.commits[named] = at.revision
        return at


def origin_tasks(evidence: Evidence, hub: Hub) -> tuple[PreparedTask, ...]:
    """The tasks of results with their questions; raises UsageProblem where they record no
    origin, and what finding and reading raise."""
    origin, results = origin_of(evidence), evidence.place
    data, pictures = (
        Path(folder.named(results)) if folder else None for folder in (origin.data, origin.pictures)
    )
    source = TaskData(
        hub, data, pictures, origin.methods, single=True, commits=dict(origin.commits)
    )
    tasks = cast("list[AnyTask]", origin.definitions())
    return tuple(source.prepare(tasks, find_region(evidence.header.region))[0])


def origin_of(evidence: Evidence) -> Origin:
    """The origin that results record; raises UsageProblem where they record none."""
    if evidence.header.origin is None:
        raise UsageProblem(
            f"{evidence.place} does not record where its answers came from",
            "Give a sweep's recipe (verify DIR --rerun 20 --recipe FILE), or measure it again.",
        )
    return evidence.header.origin


def _needed(task: AnyTask) -> Iterator[tuple[Dataset | PictureSource, Sequence[str]]]:
    """The files of data sets that a task needs: its items, its pictures, and the references."""
    if isinstance(task, Benchmark):
        yield task.dataset, [*task.files.values()]
        if task.pictures is not None:
            yield task.pictures, [task.pictures.files]
        return
    paths = list(task.splits.values())
    if isinstance(task, DrawingTask):
        references = task.judge.references
        yield task.dataset, [*paths, references.candidates]
        yield references.dataset, references.files
    else:
        yield task.dataset, paths


def _judges(task: AnyTask) -> tuple[str, ...]:
    return (task.judge.model,) if isinstance(task, DrawingTask) else ()


def _splits(tasks: Sequence[Task]) -> list[SplitName]:
    """The splits that every task has."""
    shared = set.intersection(*(set(task.splits) for task in tasks))
    return [name for name in tasks[0].splits if name in shared]
