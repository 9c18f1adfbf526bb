"""The joint curve of a composition: what a sweep over its adapters together has measured.

It stands on the card of one of them, or of each. Adapters are known by the sha256s of their files, in
whatever order they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ggez_hub.cards import AdapterCard
from ggez_hub.cards.curve import Split
from ggez_hub.cards.joint import JointCurve
from ggez_hub.cards.schema import is_adapter
from ggez_hub.parity.choice import choose
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.rows import NoCurve
from ggez_hub.regions import fallback_chain, find_region


@dataclass(frozen=True)
class Together:
    """A joint curve for a region; `places` are those of the adapters in it, in the order asked for."""

    joint: JointCurve
    region: str
    places: tuple[int, ...]

    def curve(self, split: Split) -> ParityCurve:
        """The curve; a point's betas are in the order that was asked for.

        The points stay in the curve's own order, which decides between equal ones. Raises NoCurve.
        """
        return ParityCurve.of(self.joint.measured, split, self.region).reordered(self.places)


def measured_together(cards: Sequence[AdapterCard], region: str, alpha: float) -> Together | None:
    """What the cards of a composition say of it for a region, or None.

    What the registry measured goes before claims, a curve of a nearer region before one of a wider
    one, and the card that is named first before the others. One that chooses nothing is none.
    """
    chain = [r.id for r in fallback_chain(find_region(region), wide=True)]
    found: list[tuple[bool, int, Together]] = []
    for card in cards:
        for joint in card.joint:
            places = _places(joint, cards)
            if places is None or joint.region not in chain:
                continue
            together = Together(joint, region, places)
            try:
                seen = choose(together.curve("validation"), alpha).curve
            except NoCurve:
                continue
            found.append((seen.measured_by != "registry", chain.index(joint.region), together))
    return min(found, key=lambda f: f[:2], default=(None, None, None))[2]


def _places(joint: JointCurve, cards: Sequence[AdapterCard]) -> tuple[int, ...] | None:
    """The place of each card's adapter in a joint curve, if it is of just these adapters."""
    places = tuple(
        next(
            (
                n
                for n, adapter in enumerate(joint.adapters)
                if is_adapter(adapter.files, card.files)
            ),
            -1,
        )
        for card in cards
    )
    return places if sorted(places) == list(range(len(joint.adapters))) else None
