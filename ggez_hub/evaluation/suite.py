"""A model asked a suite of tasks for a region: one point of parity, with its evidence.

The global side has all items of a task, the regional side those of the region's countries. What is
answered is kept in the results folder after each task, so that a run that was stopped goes on where
it was. A model that can choose in several ways is asked in each: the first has the task's name, the
others have theirs after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.cards import AlphaRecord
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answered import Answered, InMemory
from ggez_hub.evaluation.benchmark import SPLITS, Benchmark
from ggez_hub.evaluation.benchmark_items import Folders, read_contents
from ggez_hub.evaluation.benchmark_questions import Asked, ask_benchmark
from ggez_hub.evaluation.evidence import Evidence, TaskRecord
from ggez_hub.evaluation.grid import Progress
from ggez_hub.evaluation.identity import beta_key
from ggez_hub.evaluation.items import read_items
from ggez_hub.evaluation.leakage import refuse_leaks
from ggez_hub.evaluation.loaders import Item
from ggez_hub.evaluation.outcomes import Cell, Outcomes
from ggez_hub.evaluation.predictions import read_predictions, write_predictions
from ggez_hub.evaluation.questions import ask
from ggez_hub.evaluation.recording import recorded
from ggez_hub.evaluation.results import write_results
from ggez_hub.evaluation.subjects import Subject, UnderTest
from ggez_hub.evaluation.sweep import WORK, TrainedOn
from ggez_hub.evaluation.task import Task
from ggez_hub.regions import Region, find_region
from ggez_hub.weights import digest_json, sha256_file


@dataclass(frozen=True, eq=False)
class Prepared:
    """A task with its questions by split, and what the results have to know of it.

    `method` is how the model chooses, or "" where a task says so itself.
    """

    id: str
    record: TaskRecord
    asked: Mapping[str, Asked]
    method: str = ""

    @property
    def is_choice(self) -> bool:
        """Whether all its questions have options that a generating model may be asked for."""
        return all(asked.choices or asked.questions is None for asked in self.asked.values())


def prepare_benchmark(
    benchmark: Benchmark,
    folders: Folders,
    region: Region,
    revision: str,
    methods: Sequence[str],
) -> tuple[Prepared, ...]:
    """The questions of a benchmark for a region, for each method; none without items of the region.

    `revision` is the commit of the data that is in the folders, `methods` how the model will choose,
    which is a part of the metric. Raises BadItems.
    """
    contents = read_contents(benchmark, folders)
    items = [item for item in contents.items if _counts(benchmark, item, region)]
    if not items:
        return ()
    by_split: dict[str, list[Item]] = {}
    for item in items:
        by_split.setdefault(benchmark.split_of(item.image), []).append(item)
    digest = benchmark.digest_on(contents.files)
    record = TaskRecord(
        metric=benchmark.metric,
        side=benchmark.side,
        regions=[region.id] if benchmark.side == "regional" else [],
        language=benchmark.language,
        dataset=benchmark.dataset.repo,
        revision=revision,
        digests=dict.fromkeys(sorted(by_split), digest),
    )
    asked: dict[str, Asked] = {
        s: ask_benchmark(benchmark, by_split[s]) for s in SPLITS if s in by_split
    }
    if benchmark.metric != "choice":
        return (Prepared(benchmark.id, record, asked),)
    return tuple(
        Prepared(
            f"{benchmark.id}-by-{method}" if number else benchmark.id,
            record.model_copy(update={"metric": f"{benchmark.metric}_by_{method}"}),
            asked,
            method,
        )
        for number, method in enumerate(methods)
    )


def prepare_task(task: Task, folder: Path, region: Region, revision: str) -> tuple[Prepared, ...]:
    """The same for a task whose files are its splits; raises BadItems."""
    if task.side == "regional" and not _within(task.regions, region):
        return ()
    asked: dict[str, Asked] = {}
    digests: dict[str, str] = {}
    for split, path in sorted(task.splits.items()):
        items = read_items(folder / path, task.columns)
        questions = recorded(task, items, ask(task, items))
        asked[split] = Asked(items.pictures, questions, ())
        digests[split] = task.digest_on(sha256_file(folder / path))
    record = TaskRecord(
        metric=task.metric,
        side=task.side,
        regions=task.regions,
        language=task.language,
        dataset=task.dataset.repo,
        revision=revision,
        digests=digests,
    )
    return (Prepared(task.id, record, asked),)


def evaluate(
    model: UnderTest,
    tasks: Sequence[Prepared],
    region: Region,
    alpha: AlphaRecord,
    out: Path,
    *,
    known: Callable[[UnderTest, Path], Answered] = lambda *_: InMemory(),
    trained_on: TrainedOn = "unknown",
    evaluator: str = "unknown",
    progress: Progress | None = None,
) -> Evidence:
    """Ask a model every task and write a results folder `out`.

    `known` gives the answers of the model that are there already, for a run with this folder to
    work in. Raises Leaked for a task that it
    was trained on, UsageProblem for no tasks or a folder with something else, and what opening the
    model raises.
    """
    if not tasks:
        raise UsageProblem(f"the suite has no items for {region.id}", "Choose another suite.")
    if not model.searches and (lost := [task.id for task in tasks if not task.is_choice]):
        raise UsageProblem(
            f"a generating model cannot search among pictures or texts: {', '.join(lost)}",
            "Choose suites of multiple choice, or an embedding model.",
        )
    refuse_leaks({task.id: task.record.dataset for task in tasks}, trained_on)
    key = digest_json(
        {
            "models": {beta_key(model.beta): model.digest},
            "region": region.id,
            "tasks": {task.id: task.record.digests for task in tasks},
        }
    )
    kept = out / WORK / key
    if out.exists() and any(out.iterdir()) and not kept.is_dir():
        raise UsageProblem(
            f"{out} holds something else than this evaluation",
            "Choose another folder with -o: nothing there is overwritten.",
        )
    kept.mkdir(parents=True, exist_ok=True)
    subject: Subject | None = None
    outcomes: dict[Cell, Outcomes] = {}
    for number, task in enumerate(tasks):
        place = kept / f"{task.id}.parquet"
        if not place.is_file():
            # The model is opened for the first task that is not known.
            subject = subject or model.open(known(model, kept))
            found = {
                Cell(model.beta, task.id, s): subject.answer(asked, task.method)
                for s, asked in task.asked.items()
            }
            write_predictions(place, found)
        outcomes |= read_predictions(place)
        if progress:
            progress(number + 1, len(tasks))
    header = {
        "region": region.id,
        "alpha": alpha,
        "tasks": {task.id: task.record for task in tasks},
        "data": trained_on if trained_on == "unknown" else list(trained_on),
        "measured_by": "self",
        "evaluator": evaluator,
        "models": {beta_key(model.beta): model.digest},
    }
    return write_results(out, header, outcomes)


def _counts(benchmark: Benchmark, item: Item, region: Region) -> bool:
    """Whether an item is asked; of a country that is not known, the task's regions tell."""
    if benchmark.side == "global":
        return True
    if item.country is None:
        return _within(benchmark.regions, region)
    return item.country in region.members


def _within(regions: Sequence[str], region: Region) -> bool:
    return all(set(find_region(name).members) <= set(region.members) for name in regions)
