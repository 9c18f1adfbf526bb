"""Comparisons of models within what was shown at once: win rates, and Davidson's model with ties.

A preference gives one comparison, a ranking one for each pair of its outputs; both bad is a tie.

R. R. Davidson, On extending the Bradley-Terry model to accommodate ties in paired comparison experiments,
JASA 65 (1970): with strengths s, P(i wins) = exp(s_i) / D, P(tie) = exp(t + (s_i + s_j) / 2) / D.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ggez_hub.evaluation.people.estimates import Clusters, Estimate, from_influence
from ggez_hub.evaluation.people.ratings import Floats, Integers, Mask, Ratings

STEPS = 200
CLOSE = 1e-10


@dataclass(frozen=True, eq=False)
class Comparisons:
    """One row each: two models by number, `result` 1 where the first wins, 0 where the second does, 0.5."""

    first: Integers
    second: Integers
    result: Floats
    by: Clusters

    def __len__(self) -> int:
        return len(self.result)


def comparisons(ratings: Ratings, goodness: Floats, by: Clusters) -> Comparisons:
    """All pairs of outputs of each judgement; the larger `goodness` wins."""
    order = np.lexsort((ratings.codes("model"), ratings.codes("judgement")))
    starts = np.flatnonzero(np.diff(ratings.codes("judgement")[order], prepend=-1))
    ends = np.append(starts[1:], len(order))
    pairs = [
        (order[a], order[b])
        for start, end in zip(starts, ends, strict=True)
        for a, b in combinations(range(start, end), 2)
    ]
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    model = ratings.codes("model")
    result = 0.5 + 0.5 * np.sign(goodness[left] - goodness[right])
    return Comparisons(model[left], model[right], result, Clusters(*(c[left] for c in by)))


@dataclass(frozen=True)
class WinRate:
    """Wins, ties and losses of one model against another; `rate` counts a tie as half a win, in %."""

    model: str
    other: str
    wins: int
    ties: int
    losses: int
    rate: Estimate

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "rate": self.rate.as_dict()}


def win_rates(found: Comparisons, names: Sequence[str]) -> tuple[WinRate, ...]:
    """Every pair that was compared."""
    rates = []
    for i, j in combinations(range(len(names)), 2):
        rows: Mask = (found.first == i) & (found.second == j)
        n = int(rows.sum())
        if not n:
            continue
        result = found.result[rows]
        rate = from_influence(
            100 * float(result.mean()), 100 * (result - result.mean()) / n, found.by.where(rows)
        )
        wins, ties, losses = (int((result == value).sum()) for value in (1.0, 0.5, 0.0))
        rates.append(WinRate(names[i], names[j], wins, ties, losses, rate))
    return tuple(rates)


@dataclass(frozen=True)
class Strengths:
    """Strengths in logits less their mean, and the tie parameter t; `refusal` where there are none."""

    strengths: dict[str, Estimate]
    tie: float | None
    refusal: str | None = None

    def as_dict(self) -> dict[str, Any]:
        found = {name: estimate.as_dict() for name, estimate in self.strengths.items()}
        return {"strengths": found, "tie": self.tie, "undetermined": self.refusal}


def strengths(found: Comparisons, names: Sequence[str]) -> Strengths:
    """The likeliest strengths, with intervals clustered by rater and item.

    Refused where they do not exist: without a chain of wins or ties from every model to every other
    a strength is infinite; and where Newton's steps do not converge.
    """
    k, ties = len(names), found.result == 0.5
    if not _connected(found, k):
        return Strengths({}, None, "not every model won or tied, over others, against every other")
    if ties.all():
        return Strengths({}, None, "every comparison is a tie")
    features = _features(found, k, with_ties=bool(ties.any()))
    chosen = np.where(found.result == 1, 0, np.where(ties, 2, 1))
    taken = features[np.arange(len(found)), chosen]
    place = np.zeros(features.shape[2])
    for _ in range(STEPS):
        score, information = _derivatives(features, taken, place)
        try:
            step = np.linalg.solve(information, score.sum(axis=0))
        except np.linalg.LinAlgError:
            break
        # A step of more than a logit is shortened: far away the curvature misleads.
        place = place + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < CLOSE:
            influence = np.asarray(np.linalg.solve(information, score.T).T, np.float64)
            return _centred(place, influence, found.by, names, with_ties=bool(ties.any()))
    return Strengths({}, None, "the fit does not converge")


def _features(found: Comparisons, k: int, *, with_ties: bool) -> Floats:
    """(comparisons, outcomes, parameters): the first wins, the second wins, a tie.

    The first model's strength is 0; the last parameter is t.
    """
    n = len(found)
    each = np.zeros((n, 3 if with_ties else 2, k + with_ties))
    rows = np.arange(n)
    each[rows, 0, found.first] = 1
    each[rows, 1, found.second] = 1
    if with_ties:
        each[rows, 2, found.first] = each[rows, 2, found.second] = 0.5
        each[:, 2, k] = 1
    return each[:, :, 1:]


def _derivatives(features: Floats, taken: Floats, place: Floats) -> tuple[Floats, Floats]:
    """The score of each comparison, and the information of all."""
    weight = features @ place
    share = np.exp(weight - weight.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    mean = np.einsum("no,nop->np", share, features)
    apart = features - mean[:, None, :]
    return taken - mean, np.einsum("no,nop,noq->pq", share, apart, apart)


def _centred(
    place: Floats, influence: Floats, by: Clusters, names: Sequence[str], *, with_ties: bool
) -> Strengths:
    k = len(names)
    values, own = np.zeros(k), np.zeros((len(influence), k))
    values[1:], own[:, 1:] = place[: k - 1], influence[:, : k - 1]
    values -= values.mean()
    own -= own.mean(axis=1, keepdims=True)
    fitted = {name: from_influence(float(values[n]), own[:, n], by) for n, name in enumerate(names)}
    tie = float(place[-1]) if with_ties else None
    return Strengths(fitted, tie if tie is None or math.isfinite(tie) else None)


def _connected(found: Comparisons, k: int) -> bool:
    """Whether a chain of wins and ties leads from every model to every other."""
    reach = np.eye(k, dtype=bool)
    reach[found.first[found.result > 0], found.second[found.result > 0]] = True
    reach[found.second[found.result < 1], found.first[found.result < 1]] = True
    for _ in range(k):
        reach = reach @ reach
    return bool(reach.all())
