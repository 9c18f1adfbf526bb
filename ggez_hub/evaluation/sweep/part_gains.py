"""Whether betas by part paid: the best of a sweep by part against the best plain beta, on test.

Each file of betas by part has a results folder of its own below that of the plain sweep. Both choose
their beta on validation; the difference is of GRP on the same test items, item by item, clustered by
picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.scores import NotComparable, Sides, parity_difference
from ggez_hub.evaluation.results.breakdown import suite
from ggez_hub.evaluation.results.evidence import RESULTS, Evidence
from ggez_hub.evaluation.results.header import SweptParts
from ggez_hub.evaluation.results.verification import Verification, verify_evidence
from ggez_hub.parity.intervals import Interval

BY_PART = "by-part"
# The side on which a choice is judged, of items that it was not made with.
SPLIT = "test"


def folder_of(results: Path, parts: SweptParts) -> Path:
    """The results folder of a file of betas by part, below that of the plain sweep."""
    return results / BY_PART / Path(parts.name).stem


@dataclass(frozen=True)
class Gain:
    """What betas by part gain in GRP over the plain beta; without a difference there is a reason.

    `point` and `plain` are the keys of the two points that were chosen on validation.
    """

    parts: SweptParts
    point: str | None
    plain: str | None
    difference: Interval | None
    reason: str = ""

    @property
    def paid(self) -> bool:
        """Whether the difference is shown to be above 0."""
        return self.difference is not None and self.difference.is_above_zero

    def line(self) -> str:
        """The gain in words."""
        if self.difference is None:
            return f"by part, {self.parts.name}: not compared: {self.reason}"
        found = self.difference
        return (
            f"by part, {self.parts.name} at {self.point}: GRP on test {found.shown()} against the "
            f"plain {self.plain}: " + ("it paid" if self.paid else "it is not shown to pay")
        )

    def as_dict(self) -> dict[str, Any]:
        """The gain as JSON."""
        found = self.difference
        return {
            "parts": self.parts.name,
            "sha256": self.parts.sha256,
            "beta": self.point,
            "plain_beta": self.plain,
            "grp_gain": None if found is None else found.as_dict(),
            "paid": self.paid if found else None,
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
        if own.problems:
            raise GgezError(
                f"{folder} does not follow from its predictions:\n  " + "\n  ".join(own.problems),
                "Somebody changed a figure or an answer: ask for the predictions of the measurement.",
            )
        if own.evidence.header.parts is not None:
            found.append(_gain(plain, own, own.evidence.header.parts))
    return tuple(found)


def _gain(plain: Verification, own: Verification, parts: SweptParts) -> Gain:
    point, before = _chosen(own), _chosen(plain)
    if point is None or before is None:
        return Gain(parts, point, before, None, "no beta can be chosen")
    alpha = plain.evidence.header.alpha.value
    try:
        if own.evidence.header.alpha != plain.evidence.header.alpha:
            raise NotComparable("the two are weighed by different alphas")
        if own.selection["scale"] != plain.selection["scale"]:
            raise NotComparable("the two are scored by different metrics")
        left_out = {*own.selection["at_chance"], *plain.selection["at_chance"]}
        scale = str(plain.selection["scale"])
        first = _sides(own.evidence, point, scale, left_out)
        second = _sides(plain.evidence, before, scale, left_out)
        return Gain(parts, point, before, parity_difference(first, second, alpha))
    except NotComparable as problem:
        return Gain(parts, point, before, None, problem.message)


def _chosen(found: Verification) -> str | None:
    """The key of the chosen point."""
    beta = found.selection["beta"]
    if beta is None:
        return None
    return "+".join(f"{each:g}" for each in (beta if isinstance(beta, list) else [beta]))


def _sides(evidence: Evidence, key: str, scale: str, left_out: set[str]) -> Sides:
    beta = next((beta for beta in evidence.betas(SPLIT) if f"{beta:g}" == key), None)
    if beta is None:
        raise NotComparable(f"{key} was not measured on test")
    at = suite(evidence, beta, SPLIT, scale)
    world, regional = (
        tuple(outcomes for name, outcomes in sorted(side.items()) if name not in left_out)
        for side in (at.world, at.regional)
    )
    return Sides(world, regional)
