"""A few random answers of a results folder, given by the model again.

What was read from a reply has to be the same. Scores of options may differ by what another machine
rounds, and the answer with them only where the best two are that near each other.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ggez_hub.cards.values import UNKNOWN
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.answers.outcomes import Cell, Outcomes
from ggez_hub.evaluation.benchmarks.preparation import PreparedTask
from ggez_hub.evaluation.benchmarks.prompt_language import prompt_languages, with_prompt_languages
from ggez_hub.evaluation.models import ModelUnderTest
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.evaluation.sweep.run import digests

# In nats of a mean log-likelihood, or in a cosine: float32 on another processor stays far below.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class RepeatedAnswer:
    """One answer that was given again: `problem` is what differs, or empty."""

    cell: Cell
    item: str
    problem: str


def rerun(
    evidence: Evidence,
    models: Sequence[ModelUnderTest],
    tasks: Sequence[PreparedTask],
    count: int,
    seed: int,
) -> tuple[RepeatedAnswer, ...]:
    """Ask `count` of the recorded questions again, drawn by `seed`; nothing is taken from a cache.

    Raises UsageProblem where models or tasks are not those of the results, and what asking raises.
    """
    _require_same(evidence, models, tasks)
    places = [
        (cell, row)
        for cell in sorted(evidence.outcomes)
        for row in range(len(evidence.outcomes[cell]))
    ]
    drawn: dict[Cell, list[int]] = {}
    for cell, row in random.Random(seed).sample(places, min(count, len(places))):  # noqa: S311 - a sample, not a secret
        drawn.setdefault(cell, []).append(row)
    by_beta, by_task = {m.beta: m for m in models}, {t.id: t for t in tasks}
    languages = prompt_languages(tasks)
    found = []
    for beta in sorted({cell.beta for cell in drawn}):
        subject = by_beta[beta].open(AnswerCache())
        for cell, rows in sorted(drawn.items()):
            if cell.beta == beta:
                recorded, task = evidence.outcomes[cell], by_task[cell.task]
                keep = np.array(sorted(rows), dtype=np.intp)
                asked = task.asked[cell.split]
                if asked.items != recorded.items:
                    raise UsageProblem(
                        "the results do not answer the questions of the data in their order"
                    )
                again = subject.answer(asked.take(keep), task.method)
                again = with_prompt_languages({cell: again}, languages)[cell]
                found += _compared(cell, recorded, keep, again)
    return tuple(found)


def _require_same(
    evidence: Evidence, models: Sequence[ModelUnderTest], tasks: Sequence[PreparedTask]
) -> None:
    header = evidence.header
    given = digests(models)
    if lost := sorted({c.beta for c in evidence.outcomes} - {m.beta for m in models}):
        raise UsageProblem(
            f"there is no model at beta {lost[0]:g}, which was measured",
            "Write every beta of the results into `betas` of the recipe.",
        )
    for key, digest in {**header.models, **_models_of(evidence)}.items():
        if given.get(key) != digest:
            raise UsageProblem(
                f"the model at beta {key} is not the one that was measured",
                "Give the base and adapter that the results were made with.",
            )
    known = {task.id: task.record for task in tasks}
    for name, record in header.tasks.items():
        if name not in known or known[name].digests != record.digests:
            raise UsageProblem(
                f"the task {name} is not the one that was asked, or its data are others",
                "Give the tasks and the data that the results were made with.",
            )


def _models_of(evidence: Evidence) -> dict[str, str]:
    """Beta key -> the model of a card's rows whose answers are there."""
    if evidence.document is None or evidence.document.card.curve == UNKNOWN:
        return {}
    return {
        beta: row.model
        for beta, rows in evidence.document.card.curve.items()
        for row in rows.values()
        if row.predictions != UNKNOWN
    }


def _compared(
    cell: Cell, recorded: Outcomes, keep: NDArray[np.intp], again: Outcomes
) -> list[RepeatedAnswer]:
    scores, fresh = recorded.recorded("log_likelihoods"), again.recorded("log_likelihoods")
    found = []
    for place, row in enumerate(keep):
        before, now = scores[row], fresh[place]
        problem = _other_question(recorded, row, again, place) or _scores_differ(before, now)
        said, says = recorded.predicted[row], again.predicted[place]
        if not problem and said != says and not _too_near(before):
            problem = f"the answer was {said!r} and is {says!r}"
        found.append(RepeatedAnswer(cell, recorded.items[row], problem))
    return found


def _other_question(recorded: Outcomes, row: int, again: Outcomes, place: int) -> str:
    """What the data say of the question, where the results say something else."""
    right, own = recorded.gold[row], again.gold[place]
    if right != own:
        return f"the right answer is recorded as {right!r}, the data have {own!r}"
    if recorded.chance[row] != again.chance[place]:
        return f"chance is recorded as {recorded.chance[row]:g}, it is {again.chance[place]:g}"
    for what, field in (("picture", "images"), ("prompt", "prompts")):
        before, now = recorded.recorded(field)[row], again.recorded(field)[place]
        if before and now and before != now:
            return f"the sha256 of its {what} is recorded as {before[:16]}…, it is {now[:16]}…"
    before = recorded.recorded("prompt_languages")[row]
    now = again.recorded("prompt_languages")[place]
    if before and before != now:
        return f"the language of its prompt is recorded as {before!r}, its text is {now!r}"
    return ""


def _scores_differ(before: Sequence[float] | None, now: Sequence[float] | None) -> str:
    if (before is None) != (now is None) or len(before or ()) != len(now or ()):
        return "the options have other scores"
    pairs = zip(before or (), now or (), strict=True)
    # What a server did not list is minus infinity.
    worst = max((abs(a - b) for a, b in pairs if a != b), default=0.0)
    return f"a score of an option differs by {worst:.2g}" if worst > TOLERANCE else ""


def _too_near(scores: Sequence[float] | None) -> bool:
    best = sorted(scores or (), reverse=True)[:2]
    return len(best) == 2 and best[0] - best[1] <= 2 * TOLERANCE
