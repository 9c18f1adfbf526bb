"""The beta grid: every task and split at every beta, in one process and without merged models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ggez_hub.cards.schema import CountryScore, CurveRow
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.embedding import EmbeddingModel
from ggez_hub.evaluation.evidence import TaskRecord
from ggez_hub.evaluation.identity import beta_key, model_digests
from ggez_hub.evaluation.items import read_items
from ggez_hub.evaluation.outcomes import Cell, Outcomes
from ggez_hub.evaluation.questions import Questions, ask
from ggez_hub.evaluation.recording import recorded
from ggez_hub.evaluation.scores import Score, score_of
from ggez_hub.evaluation.task import BadTask, SplitName, Task
from ggez_hub.families import Family
from ggez_hub.weights import sha256_file

BETAS: tuple[float, ...] = tuple(step / 10 for step in range(13))

Embeddings: TypeAlias = NDArray[np.float32]
Pictures: TypeAlias = tuple[bytes, ...]
Texts: TypeAlias = tuple[str, ...]
Asked: TypeAlias = Mapping[tuple[str, SplitName], tuple[Pictures, Questions]]


class Progress(Protocol):
    """Told after each beta."""

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total` betas are measured."""


class Answers(Protocol):
    """Where the answers of a beta are kept, so that a run that was stopped goes on."""

    def load(self, beta: float) -> Mapping[Cell, Outcomes] | None:
        """The answers that were kept, or None."""

    def save(self, beta: float, outcomes: Mapping[Cell, Outcomes]) -> None:
        """Keep all answers of a beta."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """What came out of a grid, and digests of all that went in.

    models  beta key -> sha256 over the base's weights, the adapter's files and beta
    data    path of a split in the dataset -> sha256 of the file
    """

    tasks: tuple[Task, ...]
    outcomes: Mapping[Cell, Outcomes]
    models: Mapping[str, str]
    data: Mapping[str, str]

    def scores(self) -> dict[Cell, Score]:
        """The score of every cell."""
        return {cell: score_of(outcomes) for cell, outcomes in self.outcomes.items()}

    def records(self) -> dict[str, TaskRecord]:
        """What a results folder has to know of the tasks."""
        return {
            task.id: TaskRecord(
                metric=task.metric,
                side=task.side,
                regions=task.regions,
                language=task.language,
                dataset=task.dataset.repo,
                revision=task.dataset.revision,
                digests={
                    split: task.digest_on(self.data[path])
                    for split, path in task.splits.items()
                    if path in self.data
                },
            )
            for task in self.tasks
        }

    def curve(
        self, measured_by: Literal["self", "registry"], evaluator: str, predictions_sha256: str
    ) -> dict[str, dict[str, CurveRow]]:
        """A card's curve: beta key -> `<task id>/<split>` -> row.

        evaluator: the commit of the code that measured; predictions_sha256: what
        `write_predictions` returned for these outcomes, or `unknown`.
        """
        tasks = {task.id: task for task in self.tasks}
        curve: dict[str, dict[str, CurveRow]] = {}
        for cell, score in sorted(self.scores().items()):
            task, key = tasks[cell.task], beta_key(cell.beta)
            split: SplitName = "test" if cell.split == "test" else "validation"
            curve.setdefault(key, {})[f"{cell.task}/{split}"] = CurveRow(
                score=score.score,
                n=score.n,
                se=score.se,
                floor=score.floor,
                metric=task.metric,
                split=split,
                side=task.side,
                by_country={
                    region: CountryScore(score=score.score, n=score.n, se=score.se)
                    for region in task.regions
                },
                measured_by=measured_by,
                evaluator=evaluator,
                model=self.models[key],
                task=task.digest_on(self.data[task.splits[split]]),
                predictions=predictions_sha256,
            )
        return curve


def measure(
    base_folder: Path,
    adapter_folder: Path | None,
    family: Family,
    tasks: Sequence[Task],
    dataset_folder: Path,
    betas: Sequence[float] = BETAS,
    splits: Sequence[SplitName] = ("validation", "test"),
    progress: Progress | None = None,
    answers: Answers | None = None,
    *,
    details: bool = False,
) -> Measurement:
    """Ask every task of base + beta * Delta for every beta.

    All folders are local, nothing is fetched; all tasks are of the dataset in `dataset_folder`.
    Without an adapter the only beta is 0. Betas that `answers` holds are not asked again. With
    `details` each answer records its picture, prompt, country, language and category. Raises
    UsageProblem, BadTask, BadItems, and what opening the model raises.
    """
    keys = [beta_key(beta) for beta in betas]
    if len(set(keys)) != len(keys) or not keys:
        raise UsageProblem(f"the betas {', '.join(keys) or '(none)'} have to be different numbers")
    asked = _ask_all(tasks, dataset_folder, splits, details=details)
    known = {beta: answers.load(beta) if answers else None for beta in betas}
    encoder: _Encoder | None = None
    outcomes: dict[Cell, Outcomes] = {}
    for number, beta in enumerate(betas):
        found = known[beta]
        if found is None:
            # The model is opened for the first beta that is not known.
            encoder = encoder or _Encoder(EmbeddingModel(base_folder, adapter_folder, family))
            found = encoder.answer(beta, asked)
            if answers:
                answers.save(beta, found)
        outcomes |= found
        if progress:
            progress(number + 1, len(betas))
    paths = {task.splits[split] for task in tasks for split in splits}
    return Measurement(
        tasks=tuple(tasks),
        outcomes=outcomes,
        models=model_digests(base_folder, adapter_folder, family, betas),
        data={path: sha256_file(dataset_folder / path) for path in sorted(paths)},
    )


class _Encoder:
    """The model with what it has encoded; a tower that beta does not move encodes once."""

    def __init__(self, model: EmbeddingModel) -> None:
        self._model = model
        self._pictures: dict[Pictures, Embeddings] = {}
        self._texts: dict[Texts, Embeddings] = {}

    def answer(self, beta: float, asked: Asked) -> dict[Cell, Outcomes]:
        """The answers to everything that is asked, at one beta."""
        self._set_beta(beta)
        return {
            Cell(beta, task, split): questions.answer(
                self._encoded_pictures(pictures), self._encoded_texts(questions.texts)
            )
            for (task, split), (pictures, questions) in asked.items()
        }

    def _set_beta(self, beta: float) -> None:
        if self._model.moves_pictures:
            self._pictures.clear()
        if self._model.moves_texts:
            self._texts.clear()
        self._model.set_beta(beta)

    def _encoded_pictures(self, pictures: Pictures) -> Embeddings:
        if pictures not in self._pictures:
            self._pictures[pictures] = self._model.encode_pictures(pictures)
        return self._pictures[pictures]

    def _encoded_texts(self, texts: Texts) -> Embeddings:
        if texts not in self._texts:
            self._texts[texts] = self._model.encode_texts(texts)
        return self._texts[texts]


def _ask_all(
    tasks: Sequence[Task], dataset_folder: Path, splits: Sequence[SplitName], *, details: bool
) -> Asked:
    if not tasks or not splits:
        raise UsageProblem("a measurement needs at least one task and one split")
    if len({task.id for task in tasks}) != len(tasks):
        raise UsageProblem("two tasks have the same id")
    if len(repos := sorted({task.dataset.repo for task in tasks})) > 1:
        raise UsageProblem(
            f"the tasks are of several datasets: {', '.join(repos)}", "Measure one at a time."
        )
    shared: dict[tuple[str, str], Pictures] = {}
    asked: dict[tuple[str, SplitName], tuple[Pictures, Questions]] = {}
    for task in tasks:
        for split in splits:
            if split not in task.splits:
                raise BadTask(f"task {task.id!r} has no split {split!r}", "Add it under splits.")
            path = task.splits[split]
            items = read_items(dataset_folder / path, task.columns)
            # Tasks in many languages ask about the same pictures: they are kept once.
            pictures = shared.setdefault((path, task.columns.image), items.pictures)
            questions = ask(task, items)
            if details:
                questions = recorded(task, items, questions)
            asked[task.id, split] = (pictures, questions)
    return asked
