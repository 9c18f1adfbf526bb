"""What a card or results record of their closed part, recomputed once its answers are published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ggez_hub.cards.closed import ClosedPart
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.closed_part import closed_part, misplaced
from ggez_hub.evaluation.consistency import contradictions
from ggez_hub.evaluation.predictions import parse_predictions
from ggez_hub.evaluation.verification import (
    MOST,
    Verification,
    differences,
    leaves,
    parity_numbers,
)
from ggez_hub.weights import sha256_file


def closed_figures(part: ClosedPart) -> int:
    """How many figures rest on the closed answers."""
    return 1 + (sum(1 for _ in leaves(parity_numbers(part.parity))) if part.parity else 0)


def with_closed(found: Verification, file: Path) -> Verification:
    """The same after the closed part was recomputed from the file with its predictions.

    Raises UsageProblem where no part is closed, and BadPredictions.
    """
    evidence, part = found.evidence, found.evidence.header.closed
    if part is None:
        raise UsageProblem(f"{evidence.place} records no closed part", "Leave --closed out.")
    closed = parse_predictions(file)
    digest = sha256_file(file)
    problems = []
    if digest != part.sha256:
        problems.append(
            f"{file.name} has the sha256 {digest[:16]}…, recorded is {part.sha256[:16]}…: "
            "it is another file, or was changed"
        )
    tasks = evidence.header.tasks
    problems += misplaced(closed, part, closed=True)
    if unknown := sorted({cell.task for cell in closed} - set(tasks)):
        problems.append(f"the closed part answers {', '.join(unknown)}, which is not described")
    else:
        metrics = {name: task.metric for name, task in tasks.items()}
        problems += contradictions(closed, metrics)[:MOST]
        again = closed_part(evidence, closed, part, digest)
        problems += differences(part.pictures, again.pictures, "closed: pictures")
        problems += differences(
            None if part.parity is None else parity_numbers(part.parity),
            None if again.parity is None else parity_numbers(again.parity),
            "closed: parity",
        )
    return replace(
        found,
        figures=found.figures + closed_figures(part),
        problems=(*found.problems, *problems),
        closed_answers=sum(map(len, closed.values())),
    )
