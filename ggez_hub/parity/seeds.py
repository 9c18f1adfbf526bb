"""How much of a figure is the seed's: the same beta of adapters that were trained with other seeds.

The seed is the unit. From five seeds on there is a t-interval over them; of fewer, each is given.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ggez_hub.cards.curve import SPLITS, MeasuredCurve, Split
from ggez_hub.cards.measurements import SeedSides
from ggez_hub.cards.schema import AdapterCard
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.parity.betas import Beta, beta_key, is_base
from ggez_hub.parity.card_rows import NoCurve, measured_rows, task_of
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.grp import grp
from ggez_hub.parity.moments import GLOBAL, OTHERS, REGIONAL
from ggez_hub.parity.score_intervals import t_quantile
from ggez_hub.quantities import counted, interval_text

# With fewer seeds there is no interval over them.
FEWEST = 5
WORDS = {
    "grp": "GRP {}",
    "others": "{} outside the region",
    "regional": "{} in it",
    "gain": "GRP {} over the base",
}


@dataclass(frozen=True)
class SeedFigures:
    """Figures of one seed at one beta, in points above chance.

    seed    None where the published adapter's is not known
    others  None where no item is outside the region
    gain    GRP over that of the seed's own base; None where it was not measured
    """

    seed: int | None
    grp: float
    others: float | None
    regional: float
    gain: float | None


@dataclass(frozen=True)
class OverSeeds:
    """The mean of a figure over seeds, with their standard deviation and the 95 % t-interval."""

    mean: float
    sd: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> OverSeeds:
        """Of at least two values."""
        mean, sd = statistics.fmean(values), statistics.stdev(values)
        half = t_quantile(0.975, len(values) - 1) * sd / math.sqrt(len(values))
        return cls(mean, sd, mean - half, mean + half)

    def shown(self, name: str) -> str:
        return interval_text(self.mean, self.low, self.high, _sign(name))


@dataclass(frozen=True)
class SeedSummary:
    """The published adapter, first, and its other seeds at one beta on one split."""

    beta: Beta
    split: Split
    seeds: tuple[SeedFigures, ...]

    @property
    def intervals(self) -> dict[str, OverSeeds] | None:
        """By figure; None with fewer than five seeds. A figure that a seed lacks is left out."""
        if len(self.seeds) < FEWEST:
            return None
        found = {}
        for name in WORDS:
            values = [getattr(seed, name) for seed in self.seeds]
            if None not in values:
                found[name] = OverSeeds.of(values)
        return found

    def as_dict(self) -> dict[str, object]:
        over = self.intervals
        return {
            "split": self.split,
            "seeds": [vars(seed) for seed in self.seeds],
            "over_seeds": None
            if over is None
            else {
                name: {"mean": value.mean, "sd": value.sd, "interval": [value.low, value.high]}
                for name, value in over.items()
            },
        }

    def lines(self) -> list[str]:
        over = self.intervals
        if over is None:
            return [
                *(self._line(seed) for seed in self.seeds),
                f"{counted(len(self.seeds), 'seed')}: an interval over seeds needs {FEWEST}",
            ]
        parts = ", ".join(WORDS[name].format(figure.shown(name)) for name, figure in over.items())
        return [
            f"{counted(len(self.seeds), 'seed')} at beta {self.beta:g}: {parts}; means with 95 % intervals over "
            f"seeds, sd of GRP {over['grp'].sd:.2f} ({self.split})"
        ]

    def _line(self, figures: SeedFigures) -> str:
        name = "the published seed" if figures.seed is None else f"seed {figures.seed}"
        if figures is self.seeds[0] and figures.seed is not None:
            name += ", published"
        parts = ", ".join(
            WORDS[key].format(f"{value:{_sign(key)}.2f}")
            for key, value in vars(figures).items()
            if key != "seed" and value is not None
        )
        return f"{name}, at beta {self.beta:g}: {parts} ({self.split})"


def _sign(name: str) -> str:
    return "+" if name == "gain" else ""


def seed_sides(measured: MeasuredCurve) -> dict[Split, SeedSides]:
    """What a card records of another seed's curve: each split that has both sides."""
    found: dict[Split, SeedSides] = {}
    for split in SPLITS:
        try:
            curve = ParityCurve.of(measured, split, measured.region)
        except NoCurve:
            continue
        rows, _ = measured_rows(measured.rows, split)
        named = {
            task_of(key)
            for tasks in rows.values()
            for key, row in tasks.items()
            if row.scale == curve.scale
        }
        world, others, regional = (_scores(curve, side) for side in (GLOBAL, OTHERS, REGIONAL))
        found[split] = SeedSides(
            scale=curve.scale,
            tasks=sorted(named - set(curve.at_chance)),
            betas=[beta_key(beta) for beta in curve.betas],
            q_global=world,
            q_others="none" if not curve.has_others else "q_global" if others == world else others,
            q_regional=regional,
        )
    return found


def seed_summary(
    card: AdapterCard, curve: ParityCurve, split: Split, beta: Beta, alpha: float
) -> SeedSummary | None:
    """The card's seeds at a beta, beside its own `curve` on that split.

    None for another region than the card's, where the beta was not measured, and without another seed
    that was asked the same tasks.
    """
    own = seed_sides(card.measured).get(split) if card.measured else None
    if own is None or curve.region != card.region:
        return None
    seed = UNKNOWN if card.training == UNKNOWN else card.training.seed
    published = _figures(None if seed == UNKNOWN else seed, own, beta, alpha)
    others = [
        _figures(run.seed, sides, beta, alpha)
        for run in card.seeds
        if (sides := run.sides.get(split)) and (sides.scale, sides.tasks) == (own.scale, own.tasks)
    ]
    found = tuple(figures for figures in others if figures is not None)
    return SeedSummary(beta, split, (published, *found)) if published and found else None


def _figures(seed: int | None, sides: SeedSides, beta: Beta, alpha: float) -> SeedFigures | None:
    key = beta_key(beta)
    if key not in sides.betas:
        return None

    def parity(place: int) -> float:
        return grp(sides.q_global[place], sides.q_regional[place], alpha, chance_corrected=True)

    index, others = sides.betas.index(key), sides.others
    base = next((place for place, known in enumerate(sides.betas) if is_base(float(known))), None)
    return SeedFigures(
        seed,
        parity(index),
        None if others is None else others[index],
        sides.q_regional[index],
        None if base is None else parity(index) - parity(base),
    )


def _scores(curve: ParityCurve, side: int) -> list[float]:
    return [float(f"{value:.10g}") for value in curve.moments.means[side]]
