"""Tasks with their questions, before any model is known.

The global side has all items of a task, the regional side those of the region's countries. A model
that can choose in several ways is asked in each: the first has the task's name, the others have
theirs after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.asked import Asked
from ggez_hub.evaluation.benchmark import SPLITS, Benchmark
from ggez_hub.evaluation.benchmark_items import Folders, read_contents
from ggez_hub.evaluation.benchmark_questions import ask_benchmark
from ggez_hub.evaluation.header import TaskRecord
from ggez_hub.evaluation.items import BadItems, read_items
from ggez_hub.evaluation.loaders import Item
from ggez_hub.evaluation.option_order import shown_digest
from ggez_hub.evaluation.questions import ask
from ggez_hub.evaluation.recognition.task import DrawingTask
from ggez_hub.evaluation.recording import chats, recorded
from ggez_hub.evaluation.task import BadTask, SplitName, Task
from ggez_hub.regions import Region, find_region
from ggez_hub.weights import sha256_file

# How a model that writes chooses where a task has a question.
LIKELIHOOD = "likelihood"
# What a macro average is over -> what is recorded of an item.
PART_OF = {"countries": "country", "languages": "language", "categories": "category"}


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

    @property
    def is_free(self) -> bool:
        """Whether its answers are free, as only a model that writes gives them."""
        return any(asked.free for asked in self.asked.values())


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

    def counts(item: Item) -> bool:
        return _counts(benchmark, item, region)

    # A search is among the full data set, whosever items are asked for.
    contents = (
        read_contents(benchmark, folders)
        if benchmark.searches
        else read_contents(benchmark, folders, counts)
    )
    items = [item for item in contents.items if counts(item)]
    if not items:
        return ()
    _require_parts(benchmark, items)
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
        average=benchmark.average,
        gallery=_gallery(benchmark, contents.items),
        published=benchmark.gallery,
    )
    asked: dict[str, Asked] = {
        s: ask_benchmark(benchmark, by_split[s], contents.items) for s in SPLITS if s in by_split
    }
    if benchmark.metric != "choice":
        return (Prepared(benchmark.id, record, asked),)
    return tuple(
        Prepared(
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
) -> tuple[Prepared, ...]:
    """The same for tasks whose files are their splits, all of the data set in `folder`.

    `revision` is the commit of the data, that of the tasks if left out. With `details` each answer
    records its picture, prompt, country, language and category. Raises UsageProblem, BadTask and
    BadItems.
    """
    if not tasks or not splits:
        raise UsageProblem("a measurement needs at least one task and one split")
    if len(repos := sorted({task.dataset.repo for task in tasks})) > 1:
        raise UsageProblem(
            f"the tasks are of several datasets: {', '.join(repos)}", "Measure one at a time."
        )
    shared: dict[tuple[str, str], tuple[bytes, ...]] = {}
    files: dict[str, str] = {}
    found = []
    for task in tasks:
        asked: dict[str, Asked] = {}
        for split in splits:
            if split not in task.splits:
                raise BadTask(f"task {task.id!r} has no split {split!r}", "Add it under splits.")
            path = task.splits[split]
            items = read_items(folder / path, task.columns)
            questions = ask(task, items)
            if details:
                questions = recorded(task, items, questions)
            # Tasks in many languages ask about the same pictures: they are kept once.
            pictures = shared.setdefault((path, task.columns.image), items.pictures)
            asked[split] = Asked(pictures, questions, (), chats(task, items, questions))
            files[path] = files.get(path) or sha256_file(folder / path)
        method = LIKELIHOOD if task.question else ""
        record = TaskRecord(
            metric=f"{task.metric}_by_{method}" if method else task.metric,
            side=task.side,
            regions=task.regions,
            language=task.language,
            dataset=task.dataset.repo,
            revision=revision or task.dataset.revision,
            digests={split: task.digest_on(files[task.splits[split]]) for split in splits},
        )
        found.append(Prepared(task.id, record, asked, method))
    return tuple(found)


def is_asked(task: Task | DrawingTask, region: Region) -> bool:
    """Whether a task is of the world, or its items of the region."""
    return task.side == "global" or _within(task.regions, region)


def tasks_for(tasks: Sequence[Task], region: Region) -> tuple[Task, ...]:
    """The tasks that are asked for a region; raises UsageProblem where a side has none."""
    chosen = tuple(task for task in tasks if is_asked(task, region))
    require_both_sides((task.side for task in chosen), region)
    return chosen


def require_both_sides(sides: Iterable[str], region: Region) -> None:
    """Raise UsageProblem unless these are the sides of the region and of the world."""
    if {*sides} != {"global", "regional"}:
        raise UsageProblem(
            f"the tasks have no items of {region.id} and of the world beside it",
            "Parity needs a global and a regional task.",
        )


def _gallery(benchmark: Benchmark, items: Sequence[Item]) -> int | None:
    """How many different pictures a search is among; None where nothing is searched."""
    if not benchmark.searches:
        return None
    return len({item.picture for item in items if item.picture is not None})


def _require_parts(benchmark: Benchmark, items: Sequence[Item]) -> None:
    """Raise BadItems where an item is in none of the parts that the score is the mean over."""
    field = PART_OF.get(benchmark.average)
    lost = [item.id for item in items if field and getattr(item, field) is None]
    if lost:
        raise BadItems(
            f"task {benchmark.id!r} averages over {benchmark.average}, and the data record no "
            f"{field} of {len(lost)} items, as of {lost[0]!r}",
            "Write `average: questions` into the task.",
        )


def _counts(benchmark: Benchmark, item: Item, region: Region) -> bool:
    """Whether an item is asked; of a country that is not known, the task's regions tell."""
    if benchmark.side == "global":
        return True
    if item.country is None:
        return _within(benchmark.regions, region)
    return item.country in region.members


def _within(regions: Sequence[str], region: Region) -> bool:
    return all(set(find_region(name).members) <= set(region.members) for name in regions)
