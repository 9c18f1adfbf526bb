"""How much of a figure is the seed's: the same beta of adapters that were trained with other seeds.

The seed is the unit. From five seeds on there is a t-interval over them; of fewer, each is given.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ggez_hub.cards.curve import SPLITS, MeasuredCurve, Split
from ggez_hub.cards.measurements import SeedRun, SeedSides
from ggez_hub.cards.schema import AdapterCard
from ggez_hub.parity.betas import Beta, beta_key, is_base
from ggez_hub.parity.card_rows import NoCurve, measured_rows, task_of
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.distributions import t_quantile
from ggez_hub.parity.grp import grp
from ggez_hub.parity.moments import GLOBAL, OTHERS, REGIONAL

# With fewer seeds there is no interval over them.
FEWEST = 5


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
        for name in ("grp", "others", "regional", "gain"):
            values = [getattr(seed, name) for seed in self.seeds]
            if None not in values:
                found[name] = OverSeeds.of(values)
        return found

    def as_dict(self) -> dict[str, object]:
        """The summary as JSON."""
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
        """For people: the interval over seeds, or each seed where they are too few for one."""
        over = self.intervals
        if over is None:
            return [
                *(self._line(seed) for seed in self.seeds),
                f"{len(self.seeds)} seeds: an interval over seeds needs {FEWEST}",
            ]
        parts = _parts({name: _interval(value, name == "gain") for name, value in over.items()})
        return [
            f"{len(self.seeds)} seeds at beta {self.beta:g}: {parts}; means with 95 % intervals over "
            f"seeds, sd of GRP {over['grp'].sd:.2f} ({self.split})"
        ]

    def _line(self, figures: SeedFigures) -> str:
        name = "the published seed" if figures.seed is None else f"seed {figures.seed}"
        if figures is self.seeds[0] and figures.seed is not None:
            name += ", published"
        shown = {
            key: f"{value:+.2f}" if key == "gain" else f"{value:.2f}"
            for key, value in vars(figures).items()
            if key != "seed" and value is not None
        }
        return f"{name}, at beta {self.beta:g}: {_parts(shown)} ({self.split})"


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
    index = curve.index(beta)
    if index is None or curve.region != card.region:
        return None
    sides = seed_sides(card.measured)[split] if card.measured else None
    found = [
        figures
        for run in card.seeds
        if split in run.sides
        and _is_alike(run.sides[split], sides)
        and (figures := _figures(run, run.sides[split], beta, alpha)) is not None
    ]
    if not found:
        return None
    base = curve.base
    own = SeedFigures(
        None
        if card.training == "unknown" or card.training.seed == "unknown"
        else card.training.seed,
        curve.grp(index, alpha),
        float(curve.moments.means[OTHERS, index]) if curve.has_others else None,
        float(curve.moments.means[REGIONAL, index]),
        None if base is None else curve.grp(index, alpha) - curve.grp(base, alpha),
    )
    return SeedSummary(beta, split, (own, *found))


def _is_alike(sides: SeedSides, own: SeedSides | None) -> bool:
    return own is not None and (sides.scale, sides.tasks) == (own.scale, own.tasks)


def _figures(run: SeedRun, sides: SeedSides, beta: Beta, alpha: float) -> SeedFigures | None:
    key = beta_key(beta)
    if key not in sides.betas:
        return None

    def parity(place: int) -> float:
        return grp(sides.q_global[place], sides.q_regional[place], alpha, chance_corrected=True)

    index, others = sides.betas.index(key), sides.others
    base = next((place for place, known in enumerate(sides.betas) if is_base(float(known))), None)
    return SeedFigures(
        run.seed,
        parity(index),
        None if others is None else others[index],
        sides.q_regional[index],
        None if base is None else parity(index) - parity(base),
    )


def _scores(curve: ParityCurve, side: int) -> list[float]:
    return [float(f"{value:.10g}") for value in curve.moments.means[side]]


def _parts(shown: Mapping[str, str]) -> str:
    words = {
        "grp": "GRP {}",
        "others": "{} outside the region",
        "regional": "{} in it",
        "gain": "GRP {} over the base",
    }
    return ", ".join(words[name].format(value) for name, value in shown.items())


def _interval(found: OverSeeds, signed: bool) -> str:
    sign = "+" if signed else ""
    return f"{found.mean:{sign}.2f} [{found.low:{sign}.2f}, {found.high:{sign}.2f}]"
