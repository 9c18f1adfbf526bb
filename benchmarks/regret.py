"""What rules for beta lose, on pictures redrawn from the demo's committed answers.

The answers of an adapter on one side of the demo are taken for the world: n of its pictures are drawn
with replacement, 2,000 times, every rule chooses a beta, and the choice is compared with the full data.

    regret     GRP of the best beta less that of the chosen one, in points, on the full data
    kept       Q_others at the chosen beta as a share of the base's, on the full data, above chance
    keeps .98  how often that is at least .98
    base       how often beta 0 is taken

Then how well the probability that a beta is the best is calibrated, over four alphas.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ggez_hub.demo.hub import ASSETS
from ggez_hub.evaluation.answers.outcomes import Outcomes
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.evaluation.results.measured_curve import curve_of
from ggez_hub.parity.card_rows import scale_of
from ggez_hub.parity.moments import GLOBAL, OTHERS, REGIONAL, Moments, clustered_moments
from ggez_hub.parity.policy_outcomes import redraw_means
from ggez_hub.regions import alpha as alpha_of

Floats = NDArray[np.float64]
ADAPTERS = ("embedding/th", "vlm/th", "diffusion/th")
PICTURES = (64, 184, 400, 1368)
REDRAWS = 2000
RELIABILITY = 100
KEPT = 0.98
ALPHAS = (0.2, 0.374, 0.6, 0.8)
BINS = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0)


@dataclass(frozen=True, eq=False)
class World:
    """Sums of chance-corrected values (C, 3, B) in points, and questions (C, 3), by picture."""

    betas: tuple[float, ...]
    sums: Floats
    asked: Floats

    def means(self, counts: Floats) -> Floats:
        """(R, 3, B): the scores if picture c were drawn counts[r, c] times."""
        pictures, sides, betas = self.sums.shape
        total = (counts @ self.sums.reshape(pictures, -1)).reshape(-1, sides, betas)
        return np.asarray(total / (counts @ self.asked)[:, :, None])

    def errors(self, counts: Floats, weights: Mapping[int, Floats]) -> Floats:
        """(R, B): the clustered errors of sum_s weights[s] (B, B) of the means of side s."""
        means, asked = self.means(counts), counts @ self.asked
        n = counts.sum(axis=1, keepdims=True)
        # Per picture the residual is linear in what differs between draws: means and numbers.
        found = np.zeros((len(counts), self.sums.shape[2]))
        parts = [(side, self.sums[:, side] @ matrix.T) for side, matrix in weights.items()]
        values = {side: means[:, side] @ matrix.T for side, matrix in weights.items()}
        for side, own in parts:
            for other, its in parts:
                m, k = self.asked[:, side], self.asked[:, other]
                cross = counts @ (own * its)
                cross -= (counts @ (own * k[:, None])) * values[other]
                cross -= (counts @ (its * m[:, None])) * values[side]
                cross += (counts @ (m * k))[:, None] * values[side] * values[other]
                found += cross / (asked[:, side] * asked[:, other])[:, None]
        return np.asarray(np.sqrt(np.maximum(0.0, found * n / (n - 1))))


def world_of(adapter: str, split: str = "validation") -> World:
    """The answers beside a card of the demo, on the scale of its GRP."""
    evidence = open_evidence(ASSETS / adapter)
    betas = tuple(float(str(beta)) for beta in evidence.betas(split))
    grid = [evidence.tasks_at(beta, split) for beta in evidence.betas(split)]
    records = evidence.header.tasks
    scale = scale_of(curve_of(evidence).rows, "validation")
    names = [name for name in grid[0] if records[name].scale == scale]
    pictures = sorted({p for name in names for p in grid[0][name].pictures})
    rows = {picture: row for row, picture in enumerate(pictures)}
    sums = np.zeros((len(pictures), 3, len(betas)))
    asked = np.zeros((len(pictures), 3))
    for name in names:
        sides = (REGIONAL,) if records[name].side == "regional" else (GLOBAL, OTHERS)
        place = np.array([rows[picture] for picture in grid[0][name].pictures])
        for side in sides:
            np.add.at(asked[:, side], place, 1.0)
            for b, tasks in enumerate(grid):
                np.add.at(sums[:, side, b], place, _corrected(tasks[name]))
    return World(betas, sums, asked)


def _corrected(outcomes: Outcomes) -> Floats:
    floor = float(outcomes.chance.mean())
    return np.asarray(100 * (outcomes.values - floor) / (1 - floor))


@dataclass(frozen=True, eq=False)
class Sample:
    """What a rule sees in R redraws: GRP, its error, the surplus over .98 and its error: (R, B)."""

    grp: Floats
    grp_error: Floats
    surplus: Floats
    surplus_error: Floats


Rule = Callable[[Sample], NDArray[np.intp]]


def _highest(values: Floats) -> NDArray[np.intp]:
    return np.asarray(np.argmax(np.round(values, 9), axis=1))


def _one_standard_error(sample: Sample) -> NDArray[np.intp]:
    best = _highest(sample.grp)
    rows = np.arange(len(best))
    bound = sample.grp[rows, best] - sample.grp_error[rows, best]
    return np.asarray(np.argmax(sample.grp >= bound[:, None] - 1e-9, axis=1))


def _keep(errors: float) -> Rule:
    def choose(sample: Sample) -> NDArray[np.intp]:
        allowed = sample.surplus - errors * sample.surplus_error >= 0
        allowed[:, 0] = True
        return _highest(np.where(allowed, sample.grp, -np.inf))

    return choose


RULES: dict[str, Rule] = {
    "parity: highest GRP": lambda sample: _highest(sample.grp),
    "smallest within 1 SE of a GRP": _one_standard_error,
    "keep, point estimate": _keep(0.0),
    "keep, 1 SE": _keep(1.0),
    "keep, 95 % bound (1.645 SE)": _keep(1.644854),
}


def sample_of(world: World, counts: Floats, alpha: float) -> Sample:
    """The figures of every redraw."""
    means, size = world.means(counts), len(world.betas)
    same = np.eye(size)
    less = same.copy()
    less[:, 0] -= KEPT
    return Sample(
        alpha * means[:, GLOBAL] + (1 - alpha) * means[:, REGIONAL],
        world.errors(counts, {GLOBAL: alpha * same, REGIONAL: (1 - alpha) * same}),
        means[:, OTHERS] @ less.T,
        world.errors(counts, {OTHERS: less}),
    )


def redraw(world: World, n: int, redraws: int = REDRAWS, seed: int = 0) -> Floats:
    """Counts (R, C) of n pictures drawn with replacement."""
    pictures = len(world.asked)
    return (
        np.random.default_rng(seed)
        .multinomial(n, np.full(pictures, 1 / pictures), size=redraws)
        .astype(float)
    )


def main(report: Callable[[str], None] = print) -> None:
    """The regret of every rule, then the reliability of the probability that a beta is best."""
    alpha = alpha_of("th").value
    report(f"{REDRAWS} redraws; alpha of Thailand, {alpha:.3f}")
    report(
        "each cell: regret in points; share kept; how often .98 is kept; how often the base is taken"
    )
    report("\n| answers | rule | " + " | ".join(f"n = {n}" for n in PICTURES) + " |")
    report("|---|---|" + "---|" * len(PICTURES))
    for adapter in ADAPTERS:
        for split in ("validation", "test"):
            world = world_of(adapter, split)
            full = world.means(np.ones((1, len(world.asked))))[0]
            grp = alpha * full[GLOBAL] + (1 - alpha) * full[REGIONAL]
            kept = full[OTHERS] / full[OTHERS, 0]
            samples = [sample_of(world, redraw(world, n), alpha) for n in PICTURES]
            for name, rule in RULES.items():
                cells = [_cell(rule(sample), grp, kept) for sample in samples]
                report(f"| {adapter}, {split} | {name} | {' | '.join(cells)} |")
    _report_reliability(report)


def _cell(taken: NDArray[np.intp], grp: Floats, kept: Floats) -> str:
    regret = float(np.mean(grp.max() - grp[taken]))
    return (
        f"{regret:.2f}; {float(kept[taken].mean()):.2f}; {_percent(kept[taken] >= KEPT)}; "
        f"{_percent(taken == 0)}"
    )


def _percent(found: NDArray[np.bool_]) -> str:
    return f"{100 * float(np.mean(found)):.0f} %"


def moments_of(world: World, drawn: NDArray[np.intp]) -> Moments:
    """The moments of pictures that were drawn."""
    sums, asked = world.sums[drawn], world.asked[drawn]
    total = asked.sum(axis=0)[:, None]
    means = sums.sum(axis=0) / total
    contributions = (sums - asked[:, :, None] * means) / total
    blank = np.zeros_like(means)
    size = len(np.unique(drawn))
    return clustered_moments(contributions, means, blank, blank, np.zeros(3), (size, size, size))


def probabilities_of_best(found: Moments, alpha: float, draws: int = 1000) -> Floats:
    """(B,): how probable the highest GRP of each beta is, by the joint normal and a flat prior."""
    means = redraw_means(found, draws)
    grp = alpha * means[:, GLOBAL] + (1 - alpha) * means[:, REGIONAL]
    return np.bincount(_highest(grp), minlength=grp.shape[1]) / draws


def _report_reliability(report: Callable[[str], None]) -> None:
    """Of the betas that get a probability, how many are the best on the full data."""
    report(f"\nprobability that a beta is best, {RELIABILITY} redraws, alphas {ALPHAS}")
    report("| n | probability | mean | truly best | betas |\n|---|---|---|---|---|")
    worlds = [world_of(adapter) for adapter in ADAPTERS]
    for n in PICTURES:
        claimed, true = [], []
        for world in worlds:
            full = world.means(np.ones((1, len(world.asked))))[0]
            random = np.random.default_rng(1)
            for _ in range(RELIABILITY):
                found = moments_of(world, random.integers(0, len(world.asked), n))
                for alpha in ALPHAS:
                    grp = alpha * full[GLOBAL] + (1 - alpha) * full[REGIONAL]
                    claimed.append(probabilities_of_best(found, alpha))
                    true.append(np.arange(len(grp)) == int(np.argmax(np.round(grp, 9))))
        p, is_best = np.concatenate(claimed), np.concatenate(true)
        for low, high in itertools.pairwise(BINS):
            rows = (p >= low) & ((p < high) | (high == 1.0))
            report(
                f"| {n} | {low:g} to {high:g} | {100 * p[rows].mean():.1f} % | "
                f"{100 * is_best[rows].mean():.1f} % | {rows.sum()} |"
            )
