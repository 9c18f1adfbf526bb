"""Which beta each average of alpha would choose: the mean, the median, and by population."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ggez_hub.parity.betas import Beta, as_json
from ggez_hub.regions import Region, alpha, fallback_chain
from ggez_hub.regions.averages import averages
from ggez_hub.regions.kof import INTERPERSONAL


@dataclass(frozen=True)
class AlphaChoice:
    """The beta that is chosen with one average of the index over a group's countries."""

    average: Literal["mean", "median", "population_weighted"]
    alpha: float
    beta: Beta

    def as_dict(self) -> dict[str, Any]:
        """The choice as JSON."""
        return {"average": self.average, "alpha": self.alpha, "beta": as_json(self.beta)}


@dataclass(frozen=True)
class AlphaChoices:
    """The choices with each average over `members`, the countries of the group `region`."""

    region: str
    year: int
    members: tuple[str, ...]
    choices: tuple[AlphaChoice, ...]

    def as_dict(self) -> dict[str, Any]:
        """The choices as JSON."""
        return {
            "region": self.region,
            "year": self.year,
            "members": list(self.members),
            "choices": [choice.as_dict() for choice in self.choices],
        }


def alpha_choices(
    region: Region,
    chosen: Callable[[float], Beta],
    year: int | None = None,
    series: str = INTERPERSONAL,
    release: str | None = None,
) -> AlphaChoices | None:
    """The choice with each average over the countries of `region`.

    A single country has one value, so the averages are those of `southeast-asia` around it.
    chosen: the beta for an alpha from 0 to 1. None where no such group is around the country or the
    countries are unknown. The population-weighted mean is left out where CLDR lacks a population.
    Raises UsageProblem for a release, series or year that is not there.
    """
    group = next((r for r in fallback_chain(region) if not r.is_country), None)
    if group is None:
        return None
    factor = alpha(group, year, series, release)
    others = averages(factor)
    if others is None:
        return None
    values: list[tuple[Literal["mean", "median", "population_weighted"], float | None]] = [
        ("mean", factor.value),
        ("median", others.median),
        ("population_weighted", others.population_weighted),
    ]
    choices = tuple(AlphaChoice(name, a, chosen(a)) for name, a in values if a is not None)
    return AlphaChoices(factor.fallback or group.id, factor.year or 0, others.members, choices)
