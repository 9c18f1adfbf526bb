"""The drawings that a task asks for, and what its judge takes them for.

The questions are a prompt with a seed. Drawings of one prompt stand together: intervals are over
prompts, not over pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggez_hub.evaluation.asked import Asked
from ggez_hub.evaluation.benchmark import Drawing
from ggez_hub.evaluation.header import TaskRecord
from ggez_hub.evaluation.items import BadItems
from ggez_hub.evaluation.outcomes import Details, Outcomes
from ggez_hub.evaluation.prepared import Prepared
from ggez_hub.evaluation.questions import Questions
from ggez_hub.evaluation.recognition.judge import Judge
from ggez_hub.evaluation.recognition.task import METRIC, DrawingTask
from ggez_hub.evaluation.task import SplitName
from ggez_hub.extras import require
from ggez_hub.pictures import seen
from ggez_hub.weights import digest_json, sha256_file

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
    judge: Callable[[int], Judge]

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
        drawings = [seen(file) for file in files]
        return self.judge(drawings[0].width).similarity(drawings)

    def outcomes(self, similarity: NDArray[np.float32], drawn: Sequence[str]) -> Outcomes:
        """What came of it; `drawn` (n) are the sha256 of the pictures."""
        number = {name: place for place, name in enumerate(self.candidates)}
        own = np.array([number[wanted.id] for wanted in self.wanted])
        options = np.broadcast_to(np.arange(len(self.candidates)), similarity.shape)
        n = len(self.wanted)
        return Questions(
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
        self._known: dict[str, Callable[[int], Judge]] = {}

    def of(self, task: DrawingTask, places: Places, ids: Sequence[str]) -> Callable[[int], Judge]:
        """What opens a task's judge of candidates, for drawings of so many pixels."""
        named = task.judge.references
        folders = [str(places.judge), str(places.references)]
        key = digest_json([*folders, *ids, named.model_dump(mode="json")])
        opens = partial(Judge, places.judge, ids, places.references, named)
        return self._known.setdefault(key, cache(opens))


def prepare_drawings(
    task: DrawingTask,
    places: Places,
    judges: Judges,
    splits: Sequence[SplitName] | None = None,
    revision: str | None = None,
) -> Prepared:
    """The drawings of a task by split, all of its own if none are named.

    `revision` is the commit of the prompts. Raises BadItems.
    """
    references = task.judge.references
    listed = _rows(places.prompts / references.candidates, {"id": "id"})
    candidates = tuple(row["id"] for row in listed)
    judge = judges.of(task, places, candidates)
    splits = list(task.splits) if splits is None else splits
    asked: dict[str, Asked] = {}
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
        asked[split] = Asked((), None, (), recognised=recognition)
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
    return Prepared(task.id, record, asked, RECOGNITION)


def _rows(path: Path, columns: Mapping[str, str]) -> list[dict[str, str]]:
    """The rows of a parquet file, its columns under our names; raises BadItems."""
    require("eval", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ggez_hub.evaluation.bounded_parquet import TooMuch, read_pieces

    try:
        there = pq.read_schema(path).names
        if missing := [name for name in columns.values() if name not in there]:
            raise BadItems(f"{path} has no column {missing[0]!r}")
        return [
            {new: row[old] for new, old in columns.items()}
            for rows in read_pieces(path, list(columns.values()))
            for row in rows
        ]
    except (OSError, TooMuch, pa.ArrowException) as error:
        raise BadItems(f"{path} cannot be read as parquet: {error}") from error
