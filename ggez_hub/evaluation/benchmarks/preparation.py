"""Tasks with their questions, before any model is known.

The global side has all items of a task, the regional side those of the region's countries. A model
that can choose in several ways is asked in each: the first has the task's name, the others have
theirs after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggez_hub.digests import digest_json, sha256_file
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.outcomes import Details, Outcomes, TaskRecord
from ggez_hub.evaluation.benchmarks.benchmark import SPLITS, Benchmark, Drawing
from ggez_hub.evaluation.benchmarks.benchmark_questions import ask_benchmark
from ggez_hub.evaluation.benchmarks.contents import Folders, read_contents
from ggez_hub.evaluation.benchmarks.drawing_task import METRIC, DrawingTask
from ggez_hub.evaluation.benchmarks.loaders import Item
from ggez_hub.evaluation.benchmarks.loaders.rows import BadItems, read_items
from ggez_hub.evaluation.benchmarks.questions import MultipleChoice, QuestionSet, ask, shown_digest
from ggez_hub.evaluation.benchmarks.recognition_judge import RecognitionJudge
from ggez_hub.evaluation.benchmarks.task import BadTask, SplitName, Task
from ggez_hub.evaluation.benchmarks.task_questions import chats, recorded
from ggez_hub.extras import require
from ggez_hub.images import to_rgb
from ggez_hub.regions import Region, find_region

# How a model that writes chooses where a task has a question.
LIKELIHOOD = "likelihood"
# What a macro average is over -> what is recorded of an item.
PART_OF = {"countries": "country", "languages": "language", "categories": "category"}


@dataclass(frozen=True, eq=False)
class PreparedTask:
    """A task with its questions by split, and what the results have to know of it.

    `method` is how the model chooses, or "" where a task says so itself.
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
        return any(asked.free for asked in self.asked.values())


def prepare_benchmark(
    benchmark: Benchmark,
    folders: Folders,
    region: Region,
    revision: str,
    methods: Sequence[str],
) -> tuple[PreparedTask, ...]:
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
    asked: dict[str, QuestionSet] = {
        s: ask_benchmark(benchmark, by_split[s], contents.items) for s in SPLITS if s in by_split
    }
    if benchmark.metric != "choice":
        return (PreparedTask(benchmark.id, record, asked),)
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
        asked: dict[str, QuestionSet] = {}
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
            asked[split] = QuestionSet(pictures, questions, (), chats(task, items, questions))
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
        found.append(PreparedTask(task.id, record, asked, method))
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


# How models that draw are asked where the task itself says who judges.
RECOGNITION = "recognition"


@dataclass(frozen=True)
class Places:
    """Where the data of drawing tasks lie: prompts, the judge's model, and its references."""

    prompts: Path
    judge: Path
    references: Path


class Wanted(NamedTuple):
    """One drawing: the candidate that it should be taken for, the prompt, and the seed."""

    id: str
    prompt: str
    seed: int

    @property
    def item(self) -> str:
        """Its id among the answers."""
        return f"{self.id}/{self.seed}"


@dataclass(frozen=True, eq=False)
class Recognition:
    """The drawings (n) of one task and split; `judge` opens it for drawings of so many pixels."""

    task: DrawingTask
    wanted: tuple[Wanted, ...]
    candidates: tuple[str, ...]
    judge: Callable[[int], RecognitionJudge]

    @property
    def items(self) -> tuple[str, ...]:
        """The ids (n) of the answers."""
        return tuple(wanted.item for wanted in self.wanted)

    def drawing(self, wanted: Wanted) -> Drawing:
        """How one of them is drawn."""
        how = self.task.drawing
        return Drawing(seeds=[wanted.seed], steps=how.steps, guidance=how.guidance)

    def only(self, rows: Iterable[int]) -> Recognition:
        """Some of the drawings."""
        return replace(self, wanted=tuple(self.wanted[row] for row in rows))

    def similarity(self, files: Sequence[bytes]) -> NDArray[np.float32]:
        """Pictures (n) as files -> (n, k): how much each resembles each candidate."""
        require("eval", "PIL")
        drawings = [to_rgb(file) for file in files]
        return self.judge(drawings[0].width).similarity(drawings)

    def outcomes(self, similarity: NDArray[np.float32], drawn: Sequence[str]) -> Outcomes:
        """What came of it; `drawn` (n) are the sha256 of the pictures."""
        number = {name: place for place, name in enumerate(self.candidates)}
        own = np.array([number[wanted.id] for wanted in self.wanted])
        options = np.broadcast_to(np.arange(len(self.candidates)), similarity.shape)
        n = len(self.wanted)
        return MultipleChoice(
            items=self.items,
            gold=tuple(wanted.id for wanted in self.wanted),
            texts=(),
            asked_by="text",
            queries=np.empty(0, np.intp),
            options=options,
            right=options == own[:, None],
            option_ids=self.candidates,
            details=Details.of(
                n,
                # Drawings of one prompt are about one thing, and are drawn together in a bootstrap.
                images=[digest_json(wanted.id) for wanted in self.wanted],
                prompts=[digest_json(wanted.prompt) for wanted in self.wanted],
                raw=drawn,
                languages=[self.task.language] * n,
            ),
        ).scored(similarity)


class Judges:
    """Judges by what they know: tasks with the same one share it. Opened when they are needed."""

    def __init__(self) -> None:
        self._known: dict[str, Callable[[int], RecognitionJudge]] = {}

    def of(
        self, task: DrawingTask, places: Places, ids: Sequence[str]
    ) -> Callable[[int], RecognitionJudge]:
        """What opens a task's judge of candidates, for drawings of so many pixels."""
        named = task.judge.references
        folders = [str(places.judge), str(places.references)]
        key = digest_json([*folders, *ids, named.model_dump(mode="json")])
        opens = partial(RecognitionJudge, places.judge, ids, places.references, named)
        return self._known.setdefault(key, cache(opens))


def prepare_drawings(
    task: DrawingTask,
    places: Places,
    judges: Judges,
    splits: Sequence[SplitName] | None = None,
    revision: str | None = None,
) -> PreparedTask:
    """The drawings of a task by split, all of its own if none are named.

    `revision` is the commit of the prompts. Raises BadItems.
    """
    references = task.judge.references
    listed = _rows(places.prompts / references.candidates, {"id": "id"})
    candidates = tuple(row["id"] for row in listed)
    judge = judges.of(task, places, candidates)
    splits = list(task.splits) if splits is None else splits
    asked: dict[str, QuestionSet] = {}
    for split in splits:
        rows = _rows(places.prompts / task.splits[split], task.columns.model_dump())
        if strange := [row["id"] for row in rows if row["id"] not in candidates]:
            raise BadItems(f"task {task.id!r}: {strange[0]!r} is none of the judge's candidates")
        wanted = tuple(
            Wanted(row["id"], row["prompt"], seed)
            for row in rows
            for seed in range(task.drawing.seeds)
        )
        recognition = Recognition(task, wanted, candidates, judge)
        asked[split] = QuestionSet((), None, (), recognised=recognition)
    data = (
        sha256_file(places.prompts / references.candidates),
        *(sha256_file(places.references / path) for path in references.files),
    )
    record = TaskRecord(
        metric=METRIC,
        judge=task.judge.name,
        side=task.side,
        regions=task.regions,
        language=task.language,
        dataset=task.dataset.repo,
        revision=revision or task.dataset.revision,
        digests={
            split: task.digest_on(sha256_file(places.prompts / task.splits[split]), *data)
            for split in splits
        },
    )
    return PreparedTask(task.id, record, asked, RECOGNITION)


def _rows(path: Path, columns: Mapping[str, str]) -> list[dict[str, str]]:
    """The rows of a parquet file, its columns under our names; raises BadItems."""
    require("eval", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ggez_hub.parquet import FileTooLarge, read_pieces

    try:
        there = pq.read_schema(path).names
        if missing := [name for name in columns.values() if name not in there]:
            raise BadItems(f"{path} has no column {missing[0]!r}")
        return [
            {new: row[old] for new, old in columns.items()}
            for rows in read_pieces(path, list(columns.values()))
            for row in rows
        ]
    except (OSError, FileTooLarge, pa.ArrowException) as error:
        raise BadItems(f"{path} cannot be read as parquet: {error}") from error
