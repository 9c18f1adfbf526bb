"""SEA-HELM's own figures, from what its runs answered.

A task's score is (s - base) / (max - base) * 100, not below 0: s is balanced accuracy, base 1 / labels; of
free answers s is the mean and base 0. It is the mean of `BOOTSTRAPS` samples, each of which takes the
answer to every question from a random run, and its error is that of this mean. Competencies, languages
and SEA are means of such samples. So in helpers/results_aggregation.ipynb of aisingapore/SEA-HELM at
26b8ec7; the same answers and seed give the same figures. The errors say nothing of other questions: those
clustered by picture (Miller 2024, arXiv 2411.00640) are `answers.scores.score_of`'s.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggez_hub.evaluation.sea_helm.runs import RunAnswers

BOOTSTRAPS = 30
SEED = 94370244
SEA_LANGUAGES = ("id", "vi", "th", "ta", "tl", "ms", "my", "lo", "km", "zh")


def aggregate(answers: Sequence[RunAnswers]) -> dict[str, Any]:
    """The figures as SEA-HELM's MODEL_scores.yaml nests them: language, competency, task.

    Each has `mean`, `stderr` and `mean_list`, the samples. The samples are drawn task by task, in the
    order of `answers`: that of the run's configuration.
    """
    random = np.random.default_rng(SEED)
    found: dict[str, Any] = {}
    for own in answers:
        competency = found.setdefault(own.language, {}).setdefault(
            own.config.competency, {"tasks": {}, "aggregation_groups": {}}
        )
        drawn = random.integers(0, len(own.worth), size=(BOOTSTRAPS, len(own.items)))
        sampled = np.array(own.worth)[drawn, np.arange(len(own.items))]
        competency["tasks"][own.name] = task = _figures([normalised(row, own) for row in sampled])
        if group := own.config.aggregation_group:
            task |= {"ignore": True, "aggregation_group": group}
    languages = []
    for competencies in found.values():
        for competency in competencies.values():
            competency.update(_figures(_mean(_of_competency(competency))))
        own_scores = [competency["mean_list"] for competency in competencies.values()]
        competencies.update(_figures(_mean(own_scores)))
        languages.append(competencies["mean_list"])
    sea = [found[language]["mean_list"] for language in found if language in SEA_LANGUAGES]
    found.update(_figures(_mean(languages)) if languages else {})
    found.update({f"sea_{key}": v for key, v in _figures(_mean(sea)).items()} if sea else {})
    return found


def normalised(worth: Sequence[float] | NDArray[np.float64], answers: RunAnswers) -> float:
    """The score of these answers (n), 0 to 100."""
    worth = np.asarray(worth)
    if not answers.is_choice:
        return 100 * float(worth.mean())
    base = 1 / len(set(answers.labels))
    if base == 1:
        return 0.0
    return 100 * max(0.0, (balanced_accuracy(worth, answers.labels) - base) / (1 - base))


def balanced_accuracy(worth: NDArray[np.float64], labels: Sequence[str | None]) -> float:
    """The mean over the labels of the share of their questions that is right."""
    number = {label: place for place, label in enumerate(dict.fromkeys(labels))}
    places = np.array([number[label] for label in labels], np.intp)
    return float(np.mean(np.bincount(places, worth) / np.bincount(places)))


def run_metrics(run: int, answers: RunAnswers) -> dict[str, float]:
    """The metrics of one run that follow from its scores alone, as its results file names them."""
    worth = np.array(answers.worth[run])
    if answers.is_choice:
        accuracy = 100 * balanced_accuracy(worth, answers.labels)
        return {"accuracy": accuracy, answers.config.metric: normalised(worth, answers)}
    return {"refclipscore": float(worth.mean()), answers.config.metric: normalised(worth, answers)}


def _of_competency(competency: Mapping[str, Any]) -> list[list[float]]:
    """The samples of its tasks; those of a group are one."""
    groups: dict[str, list[list[float]]] = {}
    found = []
    for task in competency["tasks"].values():
        if task.get("ignore"):
            groups.setdefault(task["aggregation_group"], []).append(task["mean_list"])
        else:
            found.append(task["mean_list"])
    for name, own in groups.items():
        competency["aggregation_groups"][name] = _figures(_mean(own))
        found.append(competency["aggregation_groups"][name]["mean_list"])
    return found


def _mean(samples: Sequence[Sequence[float]]) -> list[float]:
    """The mean of several figures, sample by sample."""
    return [float(value) for value in np.mean(samples, axis=0)]


def _figures(samples: Sequence[float]) -> dict[str, Any]:
    error = math.sqrt(statistics.variance(samples) / len(samples)) if len(samples) > 1 else 0.0
    return {"mean": statistics.mean(samples), "stderr": error, "mean_list": list(samples)}
