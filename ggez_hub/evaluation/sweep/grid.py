"""The beta grid: every task and split at every beta, in one process and without merged models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.answers.outcomes import Answers, Cell, Outcomes, TaskRecord
from ggez_hub.evaluation.answers.predictions import read_predictions, write_predictions
from ggez_hub.evaluation.benchmarks.preparation import PreparedTask
from ggez_hub.evaluation.benchmarks.prompt_language import prompt_languages, with_prompt_languages
from ggez_hub.evaluation.benchmarks.questions import GENERATION
from ggez_hub.evaluation.models import LoadedModel, ModelUnderTest
from ggez_hub.parity.betas import Beta, beta_key, betas_of

# Called with the number of steps that are measured, of how many.
Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True)
class KeptAnswers:
    """Answers as one predictions file for each beta and task, so that a stopped run goes on."""

    folder: Path

    def load(self, beta: Beta, task: str) -> Answers | None:
        path = self._path(beta, task)
        return read_predictions(path) if path.is_file() else None

    def save(self, beta: Beta, task: str, outcomes: Answers) -> None:
        write_predictions(self._path(beta, task), outcomes)

    def _path(self, beta: Beta, task: str) -> Path:
        return self.folder / beta_key(beta) / f"{task}.parquet"


@dataclass(frozen=True, eq=False)
class Measurement:
    """What came out of a grid; `models` has for each beta what identifies the model."""

    tasks: tuple[PreparedTask, ...]
    outcomes: Answers
    models: Mapping[str, str]

    def records(self) -> dict[str, TaskRecord]:
        return {task.id: task.record for task in self.tasks}


def measure(
    models: Sequence[ModelUnderTest],
    tasks: Sequence[PreparedTask],
    *,
    known: Callable[[ModelUnderTest], AnswerCache] = lambda _: AnswerCache(),
    answers: KeptAnswers | None = None,
    progress: Progress | None = None,
) -> Measurement:
    """Ask every task of every model: those of a grid, or one as it is; nothing is fetched.

    `known` gives the answers of a model that are there already; tasks that `answers` holds are not
    asked at all. Raises UsageProblem, MissingExtra, and what opening the models raises.
    """
    check_tasks(models, tasks)
    languages = prompt_languages(tasks)
    outcomes: dict[Cell, Outcomes] = {}
    done = 0
    for model in models:
        subject: LoadedModel | None = None
        for task in tasks:
            found = answers.load(model.beta, task.id) if answers else None
            if found is None:
                # Opened for the first task whose answers are not known.
                subject = subject or model.open(known(model))
                found = {
                    Cell(model.beta, task.id, split): subject.answer(asked, task.method)
                    for split, asked in task.asked.items()
                }
                if answers:
                    answers.save(model.beta, task.id, found)
            outcomes |= with_prompt_languages(found, languages)
            done += 1
            if progress:
                progress(done, len(models) * len(tasks))
    return Measurement(tuple(tasks), outcomes, digests(models))


def digests(models: Sequence[ModelUnderTest]) -> dict[str, str]:
    """Beta key -> what identifies the model; raises UsageProblem for what is not a grid."""
    keys = [beta_key(model.beta) for model in models]
    if len(set(keys)) != len(keys) or not keys:
        raise UsageProblem(f"the betas {', '.join(keys) or '(none)'} have to be different numbers")
    if len({len(betas_of(model.beta)) for model in models}) > 1:
        raise UsageProblem("the points of a grid have to be of the same adapters")
    return {key: model.digest for key, model in zip(keys, models, strict=True)}


def check_tasks(models: Sequence[ModelUnderTest], tasks: Sequence[PreparedTask]) -> None:
    """Raise UsageProblem unless the models can be asked all of the tasks."""
    digests(models)
    if len({task.id for task in tasks}) != len(tasks):
        raise UsageProblem("two tasks have the same id")
    free = [task.id for task in tasks if task.is_free]
    if free and not all(GENERATION in model.methods for model in models):
        raise UsageProblem(
            f"free answers are asked of models that write alone: {', '.join(free)}",
            "Choose other suites, or a vision-language model.",
        )
    ways = set.intersection(*(set(model.methods) for model in models))
    if unheard := [task.id for task in tasks if task.method and task.method not in ways]:
        raise UsageProblem(
            f"only a model that writes can be asked: {', '.join(unheard)}",
            "Choose a vision-language model, or tasks without a question.",
        )
    searching = [task.id for task in tasks if not task.is_choice]
    if searching and not all(model.searches for model in models):
        raise UsageProblem(
            f"a generating model cannot search among pictures or texts: {', '.join(searching)}",
            "Choose suites of multiple choice, or an embedding model.",
        )
