"""Tasks of drawing with their questions, before any model is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from ggez_hub.digests import digest_json, sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.loaders.rows import read_rows
from ggez_hub.evaluation.benchmarks.multiple_choice import RECOGNITION
from ggez_hub.evaluation.benchmarks.preparation import PreparedTask, record_of
from ggez_hub.evaluation.benchmarks.questions import QuestionSet
from ggez_hub.evaluation.benchmarks.recognition import Recognition, RecognitionJudge, Wanted
from ggez_hub.evaluation.benchmarks.task import DRAWING_METRIC, DrawingTask, SplitName


class Places(NamedTuple):
    """The folders of drawing tasks: of the prompts, the judge's model, and its references."""

    prompts: Path
    judge: Path
    references: Path


class Judges(dict[str, Callable[[int], RecognitionJudge]]):
    """Judges by what they know: tasks with the same one share it. Opened when they are needed."""

    def of(
        self, task: DrawingTask, places: Places, ids: Sequence[str]
    ) -> Callable[[int], RecognitionJudge]:
        """The function that opens a task's judge of candidates, for drawings of so many pixels."""
        named = task.judge.references
        folders = [str(places.judge), str(places.references)]
        key = digest_json([*folders, *ids, named.model_dump(mode="json")])
        opens = partial(RecognitionJudge, places.judge, ids, places.references, named)
        return self.setdefault(key, cache(opens))


def prepare_drawings(
    task: DrawingTask,
    places: Places,
    judges: Judges,
    splits: Sequence[SplitName] | None = None,
    revision: str | None = None,
) -> PreparedTask:
    """The drawings of a task by split, all of its own if none are named.

    `revision` is the commit of the prompts. Raises GgezError.
    """
    references = task.judge.references
    listed = read_rows(places.prompts / references.candidates, {"id": "text"})
    candidates = tuple(row["id"] for row in listed)
    judge = judges.of(task, places, candidates)
    splits = list(task.splits) if splits is None else splits
    asked: dict[str, QuestionSet] = {}
    for split in splits:
        named = task.columns
        rows = read_rows(
            places.prompts / task.splits[split], {named.id: "text", named.prompt: "text"}
        )
        wanted = tuple(
            Wanted(row[named.id], row[named.prompt], seed)
            for row in rows
            for seed in range(task.drawing.seeds)
        )
        if strange := [drawing.id for drawing in wanted if drawing.id not in candidates]:
            raise GgezError(
                f"task {task.id!r}: {strange[0]!r} is not one of the judge's candidates"
            )
        recognition = Recognition(task, wanted, candidates, judge)
        asked[split] = QuestionSet((), None, (), recognised=recognition)
    data = (
        sha256_file(places.prompts / references.candidates),
        *(sha256_file(places.references / path) for path in references.files),
    )
    record = record_of(
        task,
        metric=DRAWING_METRIC,
        judge=task.judge.name,
        revision=revision or task.dataset.revision,
        digests={
            split: task.digest_on(sha256_file(places.prompts / task.splits[split]), *data)
            for split in splits
        },
    )
    return PreparedTask(task.id, record, asked, RECOGNITION)
