"""Whether betas by part paid: the best of a sweep by part against the best plain beta, on test.

Each file of betas by part has a results folder of its own below that of the plain sweep. Both choose
their beta on validation; the difference is of GRP on the same test items, item by item, clustered by
picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.evaluation.answers.scores import NotComparable, Sides, parity_difference
from ggez_hub.evaluation.results.breakdown import suite
from ggez_hub.evaluation.results.evidence import RESULTS
from ggez_hub.evaluation.results.header import SweptParts
from ggez_hub.evaluation.results.verification import Verification, verify_evidence
from ggez_hub.parity.betas import Beta, from_json
from ggez_hub.parity.intervals import Interval, interval_json

BY_PART = "by-part"
# The side on which a choice is judged, of items that it was not made with.
SPLIT = "test"


def folder_of(results: Path, parts: SweptParts) -> Path:
    """The results folder of a file of betas by part, below that of the plain sweep."""
    return results / BY_PART / Path(parts.name).stem


@dataclass(frozen=True)
class Gain:
    """What betas by part gain in GRP over the plain beta; without a difference there is a reason.

    `point` and `plain` are the two points that were chosen on validation.
    """

    parts: SweptParts
    point: Beta | None
    plain: Beta | None
    difference: Interval | None
    reason: str = ""

    @property
    def paid(self) -> bool:
        return self.difference is not None and self.difference.is_above_zero

    def line(self) -> str:
        if self.difference is None:
            return f"by part, {self.parts.name}: not compared: {self.reason}"
        return (
            f"by part, {self.parts.name} at {self.point:g}: GRP on test {self.difference.shown()} "
            f"against the plain {self.plain:g}: "
            + ("it paid" if self.paid else "it is not shown to pay")
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "parts": self.parts.name,
            "sha256": self.parts.sha256,
            "beta": None if self.point is None else f"{self.point:g}",
            "plain_beta": None if self.plain is None else f"{self.plain:g}",
            "grp_gain": interval_json(self.difference),
            "paid": self.paid if self.difference else None,
            "reason": self.reason or None,
        }


def gains_beside(plain: Verification) -> tuple[Gain, ...]:
    """The gain of every sweep by part below a results folder.

    Raises GgezError where one does not follow from its predictions, or cannot be read.
    """
    place = plain.evidence.place
    folders = sorted(file.parent for file in (place / BY_PART).glob(f"*/{RESULTS}"))
    found = []
    for folder in folders:
        own = verify_evidence(folder)
        own.require_sound(folder)
        if own.evidence.header.parts is not None:
            found.append(_gain(plain, own, own.evidence.header.parts))
    return tuple(found)


def _gain(plain: Verification, own: Verification, parts: SweptParts) -> Gain:
    point, before = (
        None if found.selection["beta"] is None else from_json(found.selection["beta"])
        for found in (own, plain)
    )
    if point is None or before is None:
        return Gain(parts, point, before, None, "no beta can be chosen")
    alpha = plain.evidence.header.alpha
    left_out = {*own.selection["at_chance"], *plain.selection["at_chance"]}
    try:
        if own.evidence.header.alpha != alpha:
            raise NotComparable("the two are weighed by different alphas")
        if own.selection["scale"] != plain.selection["scale"]:
            raise NotComparable("the two are scored by different metrics")
        first, second = _sides(own, point, left_out), _sides(plain, before, left_out)
        return Gain(parts, point, before, parity_difference(first, second, alpha.value))
    except NotComparable as problem:
        return Gain(parts, point, before, None, problem.message)


def _sides(found: Verification, beta: Beta, left_out: set[str]) -> Sides:
    if beta not in found.evidence.betas(SPLIT):
        raise NotComparable(f"{beta:g} was not measured on test")
    at = suite(found.evidence, beta, SPLIT, str(found.selection["scale"]))
    world, regional = (
        tuple(outcomes for name, outcomes in sorted(side.items()) if name not in left_out)
        for side in (at.world, at.regional)
    )
    return Sides(world, regional)
