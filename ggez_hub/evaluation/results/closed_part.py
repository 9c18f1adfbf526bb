"""The closed part of a measurement: its answers are kept apart, and only aggregates are published.

Who submits again and again sees every open answer, and can choose or train by them. The closed
answers are not shown, so that what was gained on open pictures alone does not appear on them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ggez_hub.cards.measurements import ClosedPart, ClosedRule
from ggez_hub.evaluation.answers.outcomes import Answers, Cell, Outcomes
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.evaluation.results.measured_curve import curve_of, split_parity
from ggez_hub.quantities import counted

TEST: Literal["test"] = "test"
# In the folder that is kept.
CLOSED = "closed.parquet"


@dataclass(frozen=True)
class Closing:
    """Which pictures are closed, and the folder, which is not published, that keeps their answers."""

    rule: ClosedRule
    keep: Path


def divide(
    outcomes: Answers, rule: ClosedRule
) -> tuple[dict[Cell, Outcomes], dict[Cell, Outcomes]]:
    """The open answers and the closed ones, which are of the test side alone.

    Questions that were not asked, because their picture is gone, stay with the open ones.
    """
    opened, closed = dict(outcomes), {}
    for cell, answered in outcomes.items():
        if cell.split != TEST:
            continue
        apart = np.array([rule.is_closed(picture) for picture in answered.pictures], np.bool_)
        opened[cell] = replace(answered.where(~apart), missing=answered.missing)
        closed[cell] = answered.where(apart)
    return opened, closed


def closed_part(opened: Evidence, closed: Answers, rule: ClosedRule, sha256: str) -> ClosedPart:
    """What is published of closed answers; the tasks and the scale are those of the open ones.

    sha256: of the file with their predictions
    """
    pictures = {picture for answered in closed.values() for picture in answered.pictures}
    return ClosedPart(
        share=rule.share,
        rotation=rule.rotation,
        pictures=len(pictures),
        sha256=sha256,
        parity=split_parity(opened, curve_of(opened).rows, TEST, "registry", closed),
    )


def misplaced(outcomes: Answers, rule: ClosedRule, *, closed: bool) -> list[str]:
    """The cells that answer about pictures of the other part, or, if closed, of another split."""
    found = []
    for cell, answered in outcomes.items():
        if closed and cell.split != TEST:
            found.append(f"{cell} is in the closed part, which is of the test side alone")
        elif cell.split == TEST:
            count = sum(rule.is_closed(picture) is not closed for picture in answered.pictures)
            where, other = ("closed", "open") if closed else ("open", "closed")
            if count:
                found.append(
                    f"{cell}: {counted(count, 'answer')} of the {where} part are about {other} pictures"
                )
    return found
