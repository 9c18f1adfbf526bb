"""Several adapters on one base, theta_global + sum(beta_i * Delta_i), and their joint curve.

The sum is unmeasured until a joint sweep has measured it, whose curve is on one of the cards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from ggez_hub.cards import AdapterCard
from ggez_hub.cards.curve import Split
from ggez_hub.cards.measurements import JointCurve
from ggez_hub.cards.schema import is_adapter
from ggez_hub.errors import UsageProblem
from ggez_hub.merging.similarity import Cosine
from ggez_hub.parity.beta_choice import choose
from ggez_hub.parity.betas import point
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.quantities import first_of
from ggez_hub.regions import fallback_chain, find_region
from ggez_hub.registry.adapter_kinds import get_kind
from ggez_hub.registry.index.entries import IndexEntry
from ggez_hub.registry.resolution import Resolution


@dataclass(frozen=True)
class JointMeasurement:
    """A joint curve for a region; `places` are those of the requested adapters in it, in order."""

    joint: JointCurve
    region: str
    places: tuple[int, ...]

    def curve(self, split: Split) -> ParityCurve:
        """The curve; a point's betas are in the requested order.

        The points stay in the curve's own order, which decides between equal ones. Raises NoCurve.
        """
        return ParityCurve.of(self.joint.measured, split, self.region).reordered(self.places)


def joint_measurement(
    cards: Sequence[AdapterCard], region: str, alpha: float
) -> JointMeasurement | None:
    """The joint curve on the cards of a composition for a region, if one can choose a beta.

    What the registry measured goes before claims, a curve of a nearer region before one of a wider
    one, and the card that is named first before the others.
    """
    chain = [r.id for r in fallback_chain(find_region(region), wide=True)]
    found: list[tuple[bool, int, JointMeasurement]] = []
    for card in cards:
        for joint in card.joint:
            places = _places(joint, cards)
            if places is None or joint.region not in chain:
                continue
            together = JointMeasurement(joint, region, places)
            try:
                seen = choose(together.curve("validation"), alpha).curve
            except NoCurve:
                continue
            found.append((seen.measured_by != "registry", chain.index(joint.region), together))
    return min(found, key=lambda f: f[:2], default=(None, None, None))[2]


def _places(joint: JointCurve, cards: Sequence[AdapterCard]) -> tuple[int, ...] | None:
    def place(card: AdapterCard) -> int:
        own = (n for n, a in enumerate(joint.adapters) if is_adapter(a.files, card.files))
        return next(own, -1)

    places = tuple(map(place, cards))
    return places if sorted(places) == list(range(len(joint.adapters))) else None


# Points of a joint curve that are named.
MOST = 8


@dataclass(frozen=True)
class CompositionStatus:
    """Whether a composition was measured at its betas, by whom, and that in words."""

    measured: bool
    measured_by: str | None
    text: str


def composition_status(
    resolution: Resolution, together: JointMeasurement | None
) -> CompositionStatus:
    """What is known of a composition, whose joint curve is `together` if there is one."""
    if resolution.by_part:
        return _unmeasured(": nobody measured it by part")
    if together is None:
        return _unmeasured(
            ": each beta was chosen as if its adapter were alone (a joint sweep measures them "
            "together)"
        )
    seen = together.curve("validation")
    here = point([adapter.weight or 0.0 for adapter in resolution.adapters])
    if seen.index(here) is None:
        points = [f"{beta:g}" for beta in seen.betas]
        return _unmeasured(f" at these betas: its joint curve has {first_of(points, MOST)}")
    claim = "" if seen.measured_by == "registry" else ", as the author of its card claims"
    return CompositionStatus(
        True,
        seen.measured_by,
        "a composition of several adapters, measured together on the tasks of "
        f"{together.joint.region}{claim}",
    )


def _unmeasured(why: str) -> CompositionStatus:
    return CompositionStatus(False, None, f"a composition of several adapters, unmeasured{why}")


def check_composition(entries: Sequence[IndexEntry], *, allow_overlap: bool) -> None:
    """Raise UsageProblem unless the adapters may be composed."""
    repos = [entry.repo for entry in entries]
    if len(set(repos)) < len(repos):
        raise UsageProblem("an adapter is asked for twice", "Give it once, with a larger --beta.")
    families = sorted({entry.summary.family for entry in entries})
    if len(families) > 1:
        raise UsageProblem(f"the adapters are of several families: {', '.join(families)}")
    for entry in entries:
        kind = get_kind(entry.summary.kind)
        if not kind.combined:
            raise UsageProblem(f"{entry.repo} is {kind.noun}: nothing can be added to it")
    for one, other in combinations(entries, 2):
        shared = _shared(one, other)
        if shared and not allow_overlap:
            raise UsageProblem(
                f"the data of {one.repo} ({one.summary.region}) and {other.repo} "
                f"({other.summary.region}) overlap in {shared}: what they share would "
                "count twice",
                "Add --allow-overlap if that is meant.",
            )


def cosine_line(pair: Cosine, resolution: Resolution) -> str:
    """A pair in words."""
    one, other = (resolution.adapters[n].source.repo for n in (pair.first, pair.second))
    value = "undefined: one is zero" if pair.value is None else f"{pair.value:+.4f}"
    return f"cos(Delta of {one}, Delta of {other}) = {value}"


def _shared(one: IndexEntry, other: IndexEntry) -> str:
    regions = [find_region(entry.summary.region) for entry in (one, other)]
    if regions[0].id == regions[1].id:
        return regions[0].id
    if not all(region.members for region in regions):
        return "countries that are not known"
    return ", ".join(sorted(set(regions[0].members) & set(regions[1].members)))
