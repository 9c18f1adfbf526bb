"""How often each printed kind of interval holds the truth, and how often it is refused.

A setting is a made-up world of 2,000 pictures whose answers are known, from which n pictures are drawn
with replacement, 5,000 times. Answers to one picture are alike: a picture that is hard for one question
or task is hard for the others (a normal copula). The truth is the score of the 2,000.

    score       the share of right answers
    GRP         of two sides on the same pictures
    difference  of two GRPs: what a second beta loses and gains, of the answers of the first
    surplus     Q_others(b) - .98 Q_others(0)

`python -m benchmarks coverage` prints every setting, the range of each method that was tried, and how
often a guesser is found above chance at some beta of a grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ggez_hub.parity.intervals import is_sparse, quantile
from ggez_hub.parity.policy import DEFAULT_SHARE
from ggez_hub.parity.score_intervals import (
    Change,
    Share,
    change_of,
    share_limits,
    share_of,
    sum_limits,
)
from ggez_hub.parity.screening import LEVEL, guessing_probability

Floats = NDArray[np.float64]
PICTURES = (64, 184, 400, 1368)
REDRAWS = 5000
WORLD = 2000
ALPHAS = (0.37, 0.43)
Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Layout:
    """Questions about a picture and how alike the answers are: their correlation in the copula."""

    name: str
    fewest: int
    most: int
    alike: float


LAYOUTS = (
    Layout("1 question", 1, 1, 0.3),
    Layout("1-7 questions", 1, 7, 0.3),
    Layout("1-7 alike", 1, 7, 0.7),
    Layout("10 tasks", 10, 10, 0.3),
)
SHARES = (0.03, 0.25, 0.5, 0.76, 0.97)
SIDES = (
    *((share, share) for share in SHARES),
    (0.76, 0.25),
    (0.97, 0.03),
)


@dataclass(frozen=True)
class Shift:
    """What another beta changes: shares of all answers lost and gained, for each side."""

    name: str
    shares: tuple[float, float]
    lost: tuple[float, float]
    gained: tuple[float, float]


SHIFTS = (
    Shift("2 % changed, even", (0.5, 0.5), (0.01, 0.01), (0.01, 0.01)),
    Shift("2 % lost / gained", (0.5, 0.5), (0.02, 0.0), (0.0, 0.02)),
    Shift("3 % lost, 10 % gained", (0.97, 0.03), (0.03, 0.0), (0.0, 0.10)),
    Shift("10 % changed, even", (0.76, 0.25), (0.05, 0.05), (0.05, 0.05)),
    Shift("12 % changed", (0.5, 0.25), (0.10, 0.02), (0.02, 0.10)),
    Shift("30 % changed", (0.76, 0.25), (0.20, 0.05), (0.05, 0.25)),
)


@dataclass(frozen=True, eq=False)
class Redraws:
    """Moments of R redraws of n pictures: two sides at two betas, shares in [0, 1].

    means (R, 2, 2), covariance (R, 4, 4) clustered by picture, changed (R, 2) effective numbers,
    items (R, 2), truth (2, 2).
    """

    pictures: int
    means: Floats
    covariance: Floats
    changed: Floats
    items: Floats
    truth: Floats


def redraw(
    layout: Layout,
    shares: tuple[float, float],
    shift: Shift | None = None,
    pictures: tuple[int, ...] = PICTURES,
    redraws: int = REDRAWS,
    seed: int = 0,
) -> Iterator[Redraws]:
    """The redraws of a setting, one for each number of pictures."""
    random = np.random.default_rng(seed)
    right, asked = _world(random, layout, shares, shift)
    rows = np.concatenate([right.reshape(len(right), 4), asked[:, [0, 0, 1, 1]]], axis=1)
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    products = (kinds[:, :, None] * kinds[:, None, :]).reshape(len(kinds), 64)
    squares = (kinds[:, [0, 2]] - kinds[:, [1, 3]]) ** 2
    for n in pictures:
        drawn = random.multinomial(n, counts / counts.sum(), size=redraws).astype(float)
        sums, second = drawn @ kinds, (drawn @ products).reshape(redraws, 8, 8)
        total = sums[:, 4:]
        means = sums[:, :4] / total
        cross = second[:, :4, 4:] * means[:, None, :]
        centred = (
            second[:, :4, :4]
            - cross
            - np.swapaxes(cross, 1, 2)
            + second[:, 4:, 4:] * means[:, :, None] * means[:, None, :]
        )
        fourth = drawn @ squares**2
        yield Redraws(
            n,
            means.reshape(redraws, 2, 2),
            centred / (total[:, :, None] * total[:, None, :]) * n / (n - 1),
            (drawn @ squares) ** 2 / np.where(fourth > 0, fourth, 1.0),
            total[:, [0, 2]],
            right.sum(axis=0) / asked.sum(axis=0)[:, None],
        )


def _world(
    random: np.random.Generator,
    layout: Layout,
    shares: tuple[float, float],
    shift: Shift | None,
) -> tuple[Floats, Floats]:
    """Right answers (P, 2 sides, 2 betas) and questions (P, 2) for each picture."""
    hard, fickle = random.standard_normal((2, WORLD, 1))
    own, common = math.sqrt(1 - layout.alike), math.sqrt(layout.alike)
    right, asked = [], []
    for side, share in enumerate(shares):
        count = random.integers(layout.fewest, layout.most + 1, WORLD)
        shape = (WORLD, layout.most)
        is_asked = np.arange(layout.most) < count[:, None]
        first = _lowest(common * hard + own * random.standard_normal(shape), is_asked, share)
        second = first.copy()
        if shift is not None:
            moves = common * fickle + own * random.standard_normal(shape)
            second &= ~_lowest(moves, first, shift.lost[side] / share)
            wrong = is_asked & ~first
            second |= _lowest(moves, wrong, shift.gained[side] / (1 - share))
        right.append(np.stack([first.sum(axis=1), second.sum(axis=1)], axis=1))
        asked.append(count)
    return np.stack(right, axis=1).astype(float), np.stack(asked, axis=1).astype(float)


def _lowest(values: Floats, among: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """The given share of the places `among`: those with the lowest values."""
    bound = np.quantile(values[among], min(1.0, share))
    return np.asarray(among & (values < bound))


# A figure of one setting: its limits by every method, the truth, and what is refused.
Limits = tuple[Floats, Floats]


@dataclass(frozen=True, eq=False)
class Figure:
    """One figure in every redraw: limits by each method, the first of which is in use."""

    limits: dict[str, Limits]
    truth: float
    refused: NDArray[np.bool_]

    def coverage(self, method: str, *, decided: bool = False) -> float:
        """The share of redraws whose interval holds the truth; of those that were not refused."""
        low, high = self.limits[method]
        holds = (low - 1e-9 <= self.truth) & (self.truth <= high + 1e-9)
        if decided:
            holds = holds[~self.refused]
        return float(holds.mean()) if len(holds) else math.nan


def score(found: Redraws) -> Figure:
    """The score of the first side at the first beta."""
    n, value = found.pictures, found.means[:, 0, 0]
    se = np.sqrt(np.maximum(0.0, found.covariance[:, 0, 0]))
    z = quantile(n)
    plain = np.sqrt(value * (1 - value) / found.items[:, 0])
    figure = share_of(value, se, n)
    return Figure(
        {
            "score interval": share_limits(figure, z),
            "Wald": (value - Z * se, value + Z * se),
            "Wilson, items independent": share_limits(
                Share(value, found.items[:, 0].astype(float)), Z
            ),
            "Wald, items independent": (value - Z * plain, value + Z * plain),
        },
        float(found.truth[0, 0]),
        np.zeros(len(value), bool),
    )


def grp(found: Redraws, alpha: float, floors: tuple[float, float] = (0.0, 0.0)) -> Figure:
    """GRP at the first beta; a floor stretches its side."""
    weights = np.array([alpha / (1 - floors[0]), (1 - alpha) / (1 - floors[1])])
    covariance = found.covariance[:, ::2, ::2]
    values, n = found.means[:, :, 0], found.pictures
    errors = np.sqrt(np.maximum(0.0, covariance[:, [0, 1], [0, 1]]))
    terms = [share_of(values[:, s], errors[:, s], n) for s in (0, 1)]
    single = [share_limits(term, quantile(n)) for term in terms]
    return _sum(
        weights, terms, single, values, covariance, found, float(weights @ found.truth[:, 0])
    )


def difference(found: Redraws, alpha: float) -> Figure:
    """The GRP of the second beta less that of the first."""
    weights = np.array([alpha, 1 - alpha])
    covariance = _changes(found.covariance)
    values, n = found.means[:, :, 1] - found.means[:, :, 0], found.pictures
    errors = np.sqrt(np.maximum(0.0, covariance[:, [0, 1], [0, 1]]))
    terms = [change_of(values[:, s], errors[:, s], found.changed[:, s], n) for s in (0, 1)]
    single = [sum_limits([1.0], [term], np.ones((1, 1)), quantile(n)) for term in terms]
    truth = float(weights @ (found.truth[:, 1] - found.truth[:, 0]))
    figure = _sum(weights, terms, single, values, covariance, found, truth)
    added = np.sqrt(np.sum((weights / (found.items + 2)) ** 2, axis=1))
    value, se = values @ weights, _error(weights, covariance)
    half = Z * np.hypot(se, added)
    figure.limits["Agresti-Min"] = (value - half, value + half)
    return figure


def surplus(found: Redraws, floor: float) -> Figure:
    """What the first side keeps beyond .98 at the second beta, above chance."""
    weights = np.array([1.0, 1 - DEFAULT_SHARE]) / (1 - floor)
    turn = np.array([[-1.0, 1.0], [1.0, 0.0]])
    covariance = turn @ found.covariance[:, :2, :2] @ turn.T
    values = found.means[:, 0, :] @ turn.T
    n = found.pictures
    errors = np.sqrt(np.maximum(0.0, covariance[:, [0, 1], [0, 1]]))
    terms: list[Share | Change] = [
        change_of(values[:, 0], errors[:, 0], found.changed[:, 0], n),
        share_of(values[:, 1], errors[:, 1], n),
    ]
    single = [
        sum_limits([1.0], [terms[0]], np.ones((1, 1)), quantile(n)),
        share_limits(share_of(values[:, 1], errors[:, 1], n), quantile(n)),
    ]
    truth = float(weights @ (turn @ found.truth[0]))
    return _sum(weights, terms, single, values, covariance, found, truth)


def _sum(
    weights: Floats,
    terms: Sequence[Share | Change],
    single: list[Limits],
    values: Floats,
    covariance: Floats,
    found: Redraws,
    truth: float,
) -> Figure:
    errors = np.sqrt(np.maximum(0.0, covariance[:, [0, 1], [0, 1]]))
    both = np.prod(errors, axis=1)
    together = np.where(both > 0, covariance[:, 0, 1] / np.where(both > 0, both, 1.0), 0.0)
    correlation = np.ones((len(values), 2, 2))
    correlation[:, 0, 1] = correlation[:, 1, 0] = np.clip(together, -1, 1)
    value, se, z = values @ weights, _error(weights, covariance), quantile(found.pictures)
    below = weights * np.stack([values[:, s] - single[s][0] for s in (0, 1)], axis=1)
    above = weights * np.stack([single[s][1] - values[:, s] for s in (0, 1)], axis=1)
    return Figure(
        {
            "score interval": sum_limits(weights.tolist(), terms, correlation, z),
            "MOVER": (value - _length(below, correlation), value + _length(above, correlation)),
            "t": (value - z * se, value + z * se),
            "Wald": (value - Z * se, value + Z * se),
        },
        truth,
        np.broadcast_to(is_sparse(terms, found.pictures)[0], value.shape),
    )


def _changes(covariance: Floats) -> Floats:
    turn = np.array([[-1.0, 1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 1.0]])
    return np.asarray(turn @ covariance @ turn.T)


def _error(weights: Floats, covariance: Floats) -> Floats:
    return np.asarray(
        np.sqrt(np.maximum(0.0, np.einsum("s,rst,t->r", weights, covariance, weights)))
    )


def _length(parts: Floats, correlation: Floats) -> Floats:
    squared = np.einsum("ri,rij,rj->r", parts, correlation, parts)
    return np.asarray(np.sqrt(np.maximum(0.0, squared)))


Setting = tuple[str, str]


def settings(redraws: int = REDRAWS) -> Iterator[tuple[str, str, int, Figure]]:
    """Every cell: kind, setting, pictures and the figure."""
    for number, layout in enumerate(LAYOUTS):
        for place, shares in enumerate(SIDES):
            for found in redraw(layout, shares, redraws=redraws, seed=100 * number + place):
                n = found.pictures
                name = f"{layout.name}; {shares[0]:g}"
                if shares[0] == shares[1]:
                    yield "score", name, n, score(found)
                name = f"{layout.name}; {shares[0]:g}, {shares[1]:g}"
                for alpha in ALPHAS:
                    yield "GRP", f"{name}; alpha {alpha:g}", n, grp(found, alpha)
                if min(shares) > 0.25:
                    yield "GRP", f"{name}; alpha .37, floor .25", n, grp(found, 0.37, (0, 0.25))
        for place, shift in enumerate(SHIFTS):
            seed = 1000 + 100 * number + place
            for found in redraw(layout, shift.shares, shift, redraws=redraws, seed=seed):
                n, name = found.pictures, f"{layout.name}; {shift.name}"
                for alpha in ALPHAS:
                    yield "difference", f"{name}; alpha {alpha:g}", n, difference(found, alpha)
                yield "surplus", name, n, surplus(found, 0.0)
                if shift.shares[0] > 0.25:
                    yield "surplus", f"{name}; floor .25", n, surplus(found, 0.25)


def main(report: Callable[[str], None] = print) -> None:
    """The table of settings, then the range of every method."""
    error = 100 * math.sqrt(0.05 * 0.95 / REDRAWS)
    report(f"{REDRAWS} redraws a cell; the Monte Carlo error at 95 % is {error:.2f} points")
    report("coverage in %; in brackets the refused share in %, where more than half are: refused")
    rows: dict[tuple[str, str], dict[int, str]] = {}
    ranges: dict[tuple[str, str, bool], list[float]] = {}
    for kind, setting, n, figure in settings():
        refused = 100 * float(figure.refused.mean())
        covered = 100 * figure.coverage("score interval", decided=True)
        shown = f"refused [{refused:.0f}]" if refused > 50 else f"{covered:.1f}"
        if 0 < refused <= 50:
            shown += f" [{refused:.0f}]"
        rows.setdefault((kind, setting), {})[n] = shown
        for method in figure.limits:
            if refused <= 50:
                of_decided = 100 * figure.coverage(method, decided=True)
                ranges.setdefault((kind, method, n < 184), []).append(of_decided)
    report("\n| figure | setting | " + " | ".join(f"n = {n}" for n in PICTURES) + " |")
    report("|---|---|" + "---|" * len(PICTURES))
    for (kind, setting), cells in rows.items():
        report(f"| {kind} | {setting} | " + " | ".join(cells[n] for n in PICTURES) + " |")
    report("\n| figure | method | least and most, n = 64 | n >= 184 |\n|---|---|---|---|")
    for kind, method in dict.fromkeys((kind, method) for kind, method, _ in ranges):
        few, many = (ranges[kind, method, small] for small in (True, False))
        report(
            f"| {kind} | {method} | {min(few):.1f} to {max(few):.1f} | "
            f"{min(many):.1f} to {max(many):.1f} |"
        )
    _report_guessers(report)


def _report_guessers(report: Callable[[str], None]) -> None:
    """How often pure guessing passes the screening of a grid of 13 betas."""
    betas, repeats = 13, 400
    report(f"\na guesser found above chance at some of {betas} betas, {repeats} repeats, n = 184")
    report("| chance | new guesses at the next beta | max-T | as independent | not corrected |")
    report("|---|---|---|---|---|")
    random = np.random.default_rng(0)
    for chance in (1 / 184, 0.25):
        for change in (1.0, 0.1):
            passed = np.zeros(3)
            for _ in range(repeats):
                right = np.empty((184, betas))
                right[:, 0] = random.random(184) < chance
                for b in range(1, betas):
                    anew = random.random(184) < change
                    right[:, b] = np.where(anew, random.random(184) < chance, right[:, b - 1])
                scores, covariance = 100 * right.mean(axis=0), 100**2 * np.cov(right.T) / 184
                errors = np.sqrt(np.diag(covariance))
                for place, matrix in enumerate((covariance, np.diag(errors**2))):
                    found = guessing_probability(scores, matrix, 100 * chance, 184)
                    passed[place] += found < LEVEL
                passed[2] += bool(np.any(scores - Z * errors > 100 * chance))
            shown = " | ".join(f"{100 * count / repeats:.1f} %" for count in passed)
            report(f"| {chance:.4f} | {change:.0%} | {shown} |")
