"""A measurement as numbered tasks on an engine, whose answers meet in the results folder.

First each model's questions are divided. One process would compute them in chunks, in an order that
follows from the tasks alone; of n shards each computes every n-th chunk, so that nothing depends on
n, to the last bit on machines that compute alike. Where a judge is asked about drawings, that is a second
round: its questions follow from what was drawn. Then each model is one task, which takes the answers from
where they met and computes what is left. After that `sweep` opens no model of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Protocol

from ggez_hub.digests import digest_json
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.answers.meeting import Meeting
from ggez_hub.evaluation.benchmarks.preparation import PreparedTask
from ggez_hub.evaluation.models import ModelUnderTest
from ggez_hub.evaluation.models.model_under_test import DivisibleModel
from ggez_hub.evaluation.sweep.run import KeptAnswers, joint_folder, measure, meeting_folder
from ggez_hub.execution import THIS_PROCESS, Engine, Executor, SharedFolder, run_tasks
from ggez_hub.progress import task as progress_task

# In a results folder: what models have drawn.
PICTURES = "pictures"
# The last round, a task for each model.
POINTS = "points"


@dataclass(frozen=True)
class Points:
    """The models of a grid, with what they are asked and the folder of their answers.

    joint  is asked the same, beside the grid
    known  the answers of a model, among them those that meet
    """

    models: Sequence[ModelUnderTest]
    tasks: Sequence[PreparedTask]
    work: Path
    known: Callable[[ModelUnderTest], AnswerCache]
    joint: ModelUnderTest | None = None

    @property
    def all_models(self) -> list[ModelUnderTest]:
        return [*self.models, *([self.joint] if self.joint else [])]


class Asked(Hashable, Protocol):
    """A measurement as it was asked for, which every process opens for itself."""

    @property
    def inputs(self) -> Sequence[Path]:
        """The folders and files of this machine that it reads."""

    def open(self, meeting: Meeting) -> Sequence[Points]:
        """One for each grid; their models keep in `meeting` what they answer."""


@dataclass(frozen=True)
class Shard:
    """Every `of`-th chunk, from the one with this number."""

    number: int
    of: int


def rounds(points: Points, shards: int | None, workers: int) -> list[tuple[str, int]]:
    """The rounds of tasks of a grid, and how many tasks each has.

    `shards` are those of each model, None as many as keep workers busy.
    """
    models = len(points.all_models)
    shards = shards or -(-workers // models)
    judged = any(asked.drawn for task in points.tasks for asked in task.asked.values())
    divided = [] if shards == 1 else ["questions", "judgements"][: 1 + judged]
    return [*((name, models * shards) for name in divided), (POINTS, models)]


@dataclass(frozen=True)
class AnswerTasks:
    """The tasks of a measurement; `shards` are those of each model, None as many as keep workers busy."""

    asked: Asked
    executor: Executor
    shards: int | None
    device: str

    def answer(self, grid: int, points: Points) -> None:
        """Have all questions of a grid answered, and the answers kept in its folder."""
        models = points.all_models
        key = digest_json([model.digest for model in models])
        for name, tasks in rounds(points, self.shards, self.executor.workers):
            if name == POINTS:
                task, folder = partial(_answer_point, self.asked, grid), name
            else:
                shards = tasks // len(models)
                task = partial(_answer_shard, self.asked, grid, name, shards)
                folder = f"{name}-{shards}"
            self._run(name, task, tasks, points.work / key / folder)

    def _run(self, name: str, task: Callable[[int], None], number: int, markers: Path) -> None:
        with progress_task(name, number) as running:
            run_tasks(
                self.executor,
                task,
                number,
                markers.absolute(),
                device=self.device,
                did=running.advance,
            )


@contextmanager
def answer_tasks(
    engine: Engine, asked: Asked, shards: int | None, place: Path, grids: Sequence[Points]
) -> Iterator[AnswerTasks | None]:
    """The tasks of a measurement on an engine; None where this process asks its models as they come.

    `place` is the folder with those of the grids, as `asked` names it. Folders have to be the same on all machines,
    but for jobs, to which they are sent.
    """
    if engine == THIS_PROCESS and shards is None:
        yield None
        return
    works = [str(grid.work.absolute().relative_to(place)) for grid in grids]
    shared = SharedFolder(place, (*dict.fromkeys(works), PICTURES))
    with engine.open([shared], asked.inputs) as executor:
        try:
            # Whether there is a GPU is known on the nodes.
            yield AnswerTasks(asked, executor, shards, "" if engine.kind == "local" else "cuda")
        finally:
            _opened.cache_clear()


def answer_shard(
    model: ModelUnderTest, tasks: Sequence[PreparedTask], known: AnswerCache, shard: Shard
) -> None:
    """Answer a shard of the questions; none of a model whose work cannot be divided."""
    subject = model.open(known)
    if not isinstance(subject, DivisibleModel):
        return
    seen: set[str] = set()
    chunks = count()
    for task in tasks:
        for asked in task.asked.values():
            for work in subject.work(asked, task.method):
                inputs = dict(zip(work.keys, work.inputs, strict=True))
                new = [key for key in inputs if key not in seen]
                seen.update(new)
                for start in range(0, len(new), work.chunk):
                    if next(chunks) % shard.of == shard.number:
                        part = new[start : start + work.chunk]
                        work.answer({key: inputs[key] for key in part})


@lru_cache(1)
def _opened(asked: Asked) -> tuple[Sequence[Points], Meeting]:
    """Opened in this process: its models stay in memory from one task to the next."""
    meeting = Meeting()
    return asked.open(meeting), meeting


def _answer_shard(asked: Asked, grid: int, name: str, shards: int, number: int) -> None:
    found, meeting = _opened(asked)
    points, (place, shard) = found[grid], divmod(number, shards)
    model = points.all_models[place]
    folder = meeting_folder(points.work, model)
    # The files of the same round are being written.
    meeting.go_to(folder, f"{name}-{shard}-of-{shards}", f"{name}-*-of-{shards}")
    answer_shard(model, points.tasks, points.known(model), Shard(shard, shards))


def _answer_point(asked: Asked, grid: int, number: int) -> None:
    found, meeting = _opened(asked)
    points = found[grid]
    model = points.all_models[number]
    meeting.go_to(meeting_folder(points.work, model), "others")
    is_joint = number == len(points.models)
    folder = joint_folder(points.work, model) if is_joint else points.work
    measure([model], points.tasks, known=points.known, answers=KeptAnswers(folder))
