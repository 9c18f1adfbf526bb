"""Tasks with their questions, before any model is known.

The global side has all items of a task, the regional side those of the region's countries, and that of
safety the prompts in English and the region's official languages. A model
that can choose in several ways is asked in each: the first has the task's name, the others have
theirs after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.evaluation.answers.outcomes import TaskRecord
from ggez_hub.evaluation.benchmarks.benchmark import ANSWERED, REFUSED, SPLITS, UNFLAGGED, Benchmark
from ggez_hub.evaluation.benchmarks.benchmark_questions import ask_benchmark
from ggez_hub.evaluation.benchmarks.contents import Folders, read_contents
from ggez_hub.evaluation.benchmarks.loaders import Item
from ggez_hub.evaluation.benchmarks.multiple_choice import GENERATION, LIKELIHOOD, shown_digest
from ggez_hub.evaluation.benchmarks.questions import QuestionSet
from ggez_hub.evaluation.benchmarks.task import SplitName, Task, TaskBase
from ggez_hub.evaluation.benchmarks.task_questions import ask_task, read_items
from ggez_hub.quantities import counted
from ggez_hub.regions import Region, find_region, languages

# What a macro average is over -> what is recorded of an item.
PART_OF = {"countries": "country", "languages": "language", "categories": "category"}


@dataclass(frozen=True, eq=False)
class PreparedTask:
    """A task with its questions by split, and what the results have to know of it.

    `method` is how the model chooses, or "" where the task defines it.
    """

    id: str
    record: TaskRecord
    asked: Mapping[str, QuestionSet]
    method: str = ""

    @property
    def is_choice(self) -> bool:
        """Whether all its questions have options that a generating model may be asked for."""
        return all(asked.choices or asked.questions is None for asked in self.asked.values())

    @property
    def is_free(self) -> bool:
        """Whether its answers are free, as only a model that writes gives them."""
        return any(asked.free for asked in self.asked.values()) or self.record.metric in (
            REFUSED,
            ANSWERED,
        )

    @property
    def is_drawn(self) -> bool:
        """Whether only a model that draws can be asked, and needs no judge but its own checker."""
        return self.record.metric == UNFLAGGED


def prepare_benchmark(
    benchmark: Benchmark,
    folders: Folders,
    region: Region,
    revision: str,
    methods: Sequence[str],
) -> tuple[PreparedTask, ...]:
    """The questions of a benchmark for a region, for each method; none without items of the region.

    `revision` is the commit of the data that is in the folders, `methods` how the model will choose,
    which is a part of the metric. Raises GgezError.
    """

    def counts(item: Item) -> bool:
        return _counts(benchmark, item, region)

    # A search is among the full data set, whatever region's items are asked for.
    contents = read_contents(benchmark, folders, None if benchmark.searches else counts)
    items = [item for item in contents.items if counts(item)]
    if not items:
        return ()
    _require_parts(benchmark, items)
    by_split: dict[str, list[Item]] = {}
    for item in items:
        by_split.setdefault(benchmark.split_of(item.image), []).append(item)
    digest = benchmark.digest_on(contents.files)
    pictures = {item.picture for item in contents.items if item.picture is not None}
    record = record_of(
        benchmark,
        metric=benchmark.metric,
        regions=[region.id] if benchmark.side == "regional" else [],
        revision=revision,
        digests=dict.fromkeys(sorted(by_split), digest),
        average=benchmark.average,
        gallery=len(pictures) if benchmark.searches else None,
        published=benchmark.gallery,
    )
    asked: dict[str, QuestionSet] = {
        s: ask_benchmark(benchmark, benchmark.sampled(by_split[s], s), contents.items)
        for s in SPLITS
        if s in by_split
    }
    if benchmark.metric != "choice":
        return (PreparedTask(benchmark.id, record, asked),)
    if benchmark.answer_tag is not None:
        methods = [method for method in methods if method == GENERATION]
    return tuple(
        PreparedTask(
            f"{benchmark.id}-by-{method}" if number else benchmark.id,
            record.model_copy(
                update={
                    "metric": f"{benchmark.metric}_by_{method}",
                    "digests": {
                        split: shown_digest(own, benchmark.seed, method)
                        for split, own in record.digests.items()
                    },
                }
            ),
            asked,
            method,
        )
        for number, method in enumerate(methods)
    )


def prepare_tasks(
    tasks: Sequence[Task],
    folder: Path,
    splits: Sequence[SplitName] = SPLITS,
    *,
    revision: str | None = None,
    details: bool = True,
) -> tuple[PreparedTask, ...]:
    """The same for tasks whose files are their splits, all of the data set in `folder`.

    `revision` is the commit of the data, that of the tasks if left out. With `details` each answer
    records its picture, prompt, country, language and category. Raises GgezError.
    """
    if not tasks or not splits:
        raise UsageProblem("a measurement needs at least one task and one split")
    if len(repos := sorted({task.dataset.repo for task in tasks})) > 1:
        raise UsageProblem(
            f"the tasks are of several datasets: {', '.join(repos)}", "Measure one at a time."
        )
    shared: dict[str, bytes] = {}
    files: dict[str, str] = {}
    found = []
    for task in tasks:
        asked: dict[str, QuestionSet] = {}
        for split in splits:
            if split not in task.splits:
                raise GgezError(f"task {task.id!r} has no split {split!r}", "Add it under splits.")
            path = task.splits[split]
            # Tasks in many languages ask about the same pictures: they are kept once.
            items = [
                replace(item, picture=shared.setdefault(item.image, item.picture or b""))
                for item in read_items(folder / path, task)
            ]
            asked[split] = own = ask_task(task, items)
            if not details and own.questions is not None:
                asked[split] = replace(own, questions=replace(own.questions, details=None))
            files[path] = files.get(path) or sha256_file(folder / path)
        method = LIKELIHOOD if task.question else ""
        record = record_of(
            task,
            metric=f"{task.metric}_by_{method}" if method else task.metric,
            revision=revision or task.dataset.revision,
            digests={split: task.digest_on(files[task.splits[split]]) for split in splits},
        )
        found.append(PreparedTask(task.id, record, asked, method))
    return tuple(found)


def is_asked(task: TaskBase, region: Region) -> bool:
    """Whether a task is of the world, or its items of the region."""
    return task.side == "global" or _within(task.regions, region)


def tasks_for(tasks: Sequence[Task], region: Region) -> tuple[Task, ...]:
    """The tasks that are asked for a region; raises UsageProblem where a side has none."""
    chosen = tuple(task for task in tasks if is_asked(task, region))
    require_both_sides((task.side for task in chosen), region)
    return chosen


def require_both_sides(sides: Iterable[str], region: Region) -> None:
    """Raise UsageProblem unless these are the sides of the region and of the world."""
    if not {*sides} >= {"global", "regional"}:
        raise UsageProblem(
            f"the tasks have no items of {region.id} and of the world beside it",
            "Parity needs a global and a regional task.",
        )


def record_of(task: TaskBase, **fields: Any) -> TaskRecord:
    """The record of a task, with these fields beside or in place of its own."""
    return TaskRecord(
        **{
            "side": task.side,
            "regions": task.regions,
            "language": task.language,
            "dataset": task.dataset.repo,
            **fields,
        }
    )


def _require_parts(benchmark: Benchmark, items: Sequence[Item]) -> None:
    """Raise GgezError where an item is in none of the parts that the score is the mean over."""
    field = PART_OF.get(benchmark.average)
    lost = [item.id for item in items if field and getattr(item, field) is None]
    if lost:
        raise GgezError(
            f"task {benchmark.id!r} averages over {benchmark.average}, and the data record no "
            f"{field} of {counted(len(lost), 'item')}, as of {lost[0]!r}",
            "Write `average: questions` into the task.",
        )


def _counts(benchmark: Benchmark, item: Item, region: Region) -> bool:
    """Whether an item is asked; where the country is not known, the task's regions decide."""
    if benchmark.side == "global":
        return True
    if benchmark.side == "safety":
        return item.language in _safety_languages(region)
    if item.country is None:
        return _within(benchmark.regions, region)
    return item.country in region.members


@cache
def _safety_languages(region: Region) -> frozenset[str]:
    """The languages (BCP 47) in which prompts of safety are asked."""
    spoken = languages(region)
    return frozenset({"en", *(one.tag for one in spoken if one.official_in or one.regional_in)})


def _within(regions: Sequence[str], region: Region) -> bool:
    return all(set(find_region(name).members) <= set(region.members) for name in regions)
