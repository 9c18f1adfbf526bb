"""A card and what follows from its curve, by the package's own rules: suite, choices of beta, gains."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

from ggez_hub.cards import CardDocument
from ggez_hub.cards.curve import Split
from ggez_hub.cards.schema import AdapterCard
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.digests import digest_json
from ggez_hub.parity.card_rows import NoCurve, measured_rows, scale_of, task_of
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.effects import Effects, effects
from ggez_hub.parity.intervals import Interval, estimate_grp_difference
from ggez_hub.parity.policy import KEEP, PARITY, Policy
from ggez_hub.quantities import first_of
from ggez_hub.regions import Region, alpha, find_region
from ggez_hub.registry.adapter_kinds import get_kind
from ggez_hub.registry.file_checks import NotFit
from ggez_hub.registry.index.entries import IndexEntry
from ggez_hub.registry.resolver.pins import chosen_beta

Json: TypeAlias = dict[str, Any]
POLICIES = (PARITY, KEEP)
TEST: Split = "test"
SHOWN_TASKS = 3
# A model that is taken as it is was measured as the end of its curve.
AS_IS = 1.0


@dataclass(frozen=True)
class MeasuredSuite:
    """What an adapter was measured on: equal tasks and scale have the same id."""

    id: str
    name: str


@dataclass(frozen=True)
class Taken:
    """What resolution takes of an adapter for a region: its beta, None for a model as it is.

    gain  of GRP over the base on test, at the region's alpha; None where it was not measured
    """

    beta: float | None
    gain: Interval | None


@dataclass(frozen=True)
class OwnBeta:
    """A beta at an alpha, its place on a curve of the test side, and its effects there."""

    beta: float
    alpha: float
    index: int
    curve: ParityCurve
    effects: Effects


@dataclass(frozen=True)
class MeasuredCard:
    """An accepted card with the curve that it holds."""

    entry: IndexEntry
    document: CardDocument
    _curves: dict[tuple[Split, str], ParityCurve | None] = field(default_factory=dict, repr=False)
    _taken: dict[tuple[str, Policy], Taken | None] = field(default_factory=dict, repr=False)

    @property
    def card(self) -> AdapterCard:
        return self.document.card

    @property
    def policy(self) -> Policy:
        return Policy.parse(self.card.policy)

    @cached_property
    def home(self) -> Region:
        """The region that the card is for."""
        return find_region(self.card.region)

    @cached_property
    def measured_by(self) -> Literal["registry", "self"] | None:
        """Who measured the scores of the test side; the author's own are a claim."""
        found = self.curve(TEST, self.home)
        if found is None:
            return None
        return "registry" if found.measured_by == "registry" else "self"

    @cached_property
    def suite(self) -> MeasuredSuite | None:
        """The tasks of the test side that parity rests on; None where nothing was measured there."""
        if self.card.curve == UNKNOWN or self.measured_by is None:
            return None
        scale = scale_of(self.card.curve, TEST)
        rows, _ = measured_rows(self.card.curve, TEST)
        tasks = {
            (task_of(key), row.side, row.task)
            for found in rows.values()
            for key, row in found.items()
            if row.scale == scale and row.side != "safety"
        }
        names = sorted({name for name, _, _ in tasks})
        digests = sorted({(side, digest) for _, side, digest in tasks})
        return MeasuredSuite(
            digest_json({"scale": scale, "tasks": digests})[:16],
            f"{first_of(names, SHOWN_TASKS)} ({scale})",
        )

    def curve(self, split: Split, region: Region) -> ParityCurve | None:
        """The curve on a split, seen for a region; None where there is none."""
        key = (split, region.id)
        if key not in self._curves:
            try:
                self._curves[key] = ParityCurve.of(self.card.measured, split, region.id)
            except NoCurve:
                self._curves[key] = None
        return self._curves[key]

    def taken(self, region: Region, policy: Policy) -> Taken | None:
        """What resolution takes for a region by a policy; None where that gives no beta."""
        key = (region.id, policy)
        if key not in self._taken:
            self._taken[key] = self._found(region, policy)
        return self._taken[key]

    def _found(self, region: Region, policy: Policy) -> Taken | None:
        factor = alpha(region).value
        beta, at = None, AS_IS
        if get_kind(self.card.kind).combined:
            try:
                beta = at = chosen_beta(self.card, region, factor, None, policy).value
            except NotFit:
                return None
        # Two policies that take the same beta have the same gain.
        for other in POLICIES:
            same = self._taken.get((region.id, other))
            if same is not None and same.beta == beta:
                return same
        return Taken(beta, self._gain(region, factor, at))

    def _gain(self, region: Region, factor: float, beta: float) -> Interval | None:
        curve = self.curve(TEST, region)
        if curve is None or curve.base is None or (index := curve.index(beta)) is None:
            return None
        return estimate_grp_difference(curve.moments, factor, index, curve.base)

    def by_policy(self, region: Region) -> dict[Policy, Taken]:
        """What is taken by each policy that gives a beta."""
        found = {policy: self.taken(region, policy) for policy in POLICIES}
        return {policy: taken for policy, taken in found.items() if taken is not None}

    @cached_property
    def own(self) -> OwnBeta | None:
        """The card's own policy and region on test; None where its beta was not measured there."""
        taken, curve = self.taken(self.home, self.policy), self.curve(TEST, self.home)
        if taken is None or curve is None:
            return None
        beta = AS_IS if taken.beta is None else taken.beta
        if (index := curve.index(beta)) is None:
            return None
        factor = alpha(self.home).value
        return OwnBeta(beta, factor, index, curve, effects(curve, index, factor, self.policy.share))


def figure(found: Interval | None) -> Json:
    """A gain with its 95 % interval, null where it is not known."""
    if found is None:
        return {"gain": None, "low": None, "high": None}
    return {"gain": found.value, "low": found.low, "high": found.high}


def state_of(measured_by: str | None, gain: Interval | None) -> str:
    """How a map shows a gain: what only an author claims counts as declared."""
    if measured_by != "registry" or gain is None:
        return "declared"
    if gain.is_above_zero:
        return "gain"
    return "loss" if gain.is_below_zero else "no_difference"
