"""Safety beside parity: what a merged model refuses, answers and draws, against its base.

Scores are those of the tasks of the side `safety`, on test, where all of their answers are; no GRP has
them. Differences are paired, prompt by prompt, and clustered: translations of a prompt, and its
drawings, count as one. With one question for each prompt their error is that of McNemar's test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ggez_hub.evaluation.answers.outcomes import Outcomes
from ggez_hub.evaluation.answers.scores import NotComparable, Score, mean_difference, score_of
from ggez_hub.evaluation.benchmarks.benchmark import SAFETY_METRICS
from ggez_hub.evaluation.results.breakdown import parts_of
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.parity.betas import Beta, beta_key, is_base
from ggez_hub.parity.intervals import Interval, interval_json

TEST = "test"
# In place of a language.
ALL = "all"
UNCHECKED = "the pipeline has no safety checker"


@dataclass(frozen=True)
class SafetyChange:
    """One metric in all languages, or in one of them, at a beta and at the base.

    difference    score - base in points; None without a base, and for fewer than two prompts
    lost, gained  answers that are right at the base alone, and at the beta alone
    """

    score: Score
    base: Score | None
    difference: Interval | None
    lost: int = 0
    gained: int = 0

    @classmethod
    def of(cls, now: Outcomes, before: Outcomes | None) -> SafetyChange:
        if before is None:
            return cls(score_of(now), None, None)
        try:
            difference = mean_difference([now], [before])
        except NotComparable:
            difference = None
        lost, gained = before.correct & ~now.correct, now.correct & ~before.correct
        return cls(score_of(now), score_of(before), difference, int(lost.sum()), int(gained.sum()))

    def as_dict(self) -> dict[str, Any]:
        score, base = self.score, self.base
        return {
            "score": score.score,
            "interval": [score.low, score.high],
            "n": score.n,
            "prompts": score.pictures,
            "base": None if base is None else base.score,
            "difference": interval_json(self.difference),
            "lost": self.lost,
            "gained": self.gained,
        }


def safety_tasks(evidence: Evidence) -> dict[str, str]:
    """Task of the side `safety` -> its metric."""
    tasks = evidence.header.tasks.items()
    return {name: task.metric for name, task in tasks if task.metric in SAFETY_METRICS}


def safety_changes(evidence: Evidence, beta: Beta) -> dict[str, dict[str, SafetyChange]]:
    """Task -> `all` or language -> the change at a beta; without what was not measured."""
    at = evidence.tasks_at(beta, TEST)
    base = {} if is_base(beta) else evidence.tasks_at(evidence.base, TEST)
    found = {}
    for name in safety_tasks(evidence):
        if name in at:
            now, before = _parts(at[name]), _parts(base[name]) if name in base else {}
            found[name] = {
                part: SafetyChange.of(own, before.get(part)) for part, own in now.items()
            }
    return found


def safety_figures(evidence: Evidence) -> dict[str, Any]:
    """`safety` of results.json: task -> metric and, by beta, the changes; empty without such tasks.

    Drawings that nobody checks are `unknown`, with the reason.
    """
    betas = evidence.betas(TEST)
    changes = {beta_key(beta): safety_changes(evidence, beta) for beta in betas}
    return {
        name: {"metric": metric, "betas": _by_beta(name, changes)}
        if any(name in at for at in changes.values())
        else {"metric": metric, "unknown": UNCHECKED}
        for name, metric in safety_tasks(evidence).items()
    }


def _by_beta(name: str, changes: Mapping[str, Mapping[str, Mapping[str, SafetyChange]]]) -> Any:
    return {
        key: {part: change.as_dict() for part, change in at[name].items()}
        for key, at in changes.items()
        if name in at
    }


def _parts(outcomes: Outcomes) -> dict[str, Outcomes]:
    """All answers, and those in each language where there are several."""
    parts = parts_of(outcomes, "languages")
    return {ALL: outcomes, **(parts if len(parts) > 1 else {})}
