"""Every figure of a card or a results folder, recomputed from its predictions without a model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ggez_hub.cards import CurveRow
from ggez_hub.cards.curve import MeasuredCurve, SplitParity
from ggez_hub.cards.measurements import ClosedPart, SeedRun
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.evaluation.answers.outcomes import Cell, Outcomes
from ggez_hub.evaluation.answers.predictions import BadPredictions, parse_predictions
from ggez_hub.evaluation.answers.scores import score_of
from ggez_hub.evaluation.results.baselines import recomputed_baselines
from ggez_hub.evaluation.results.closed_part import closed_part, misplaced
from ggez_hub.evaluation.results.consistency import contradictions
from ggez_hub.evaluation.results.evidence import Evidence, NoEvidence, open_evidence
from ggez_hub.evaluation.results.figures import figures
from ggez_hub.evaluation.results.header import PREDICTIONS
from ggez_hub.evaluation.results.measured_curve import by_country, curve_of, parity_of, policies_of
from ggez_hub.parity.betas import read_key
from ggez_hub.parity.card_rows import task_of
from ggez_hub.parity.policy_outcomes import PolicyOutcome
from ggez_hub.parity.seeds import seed_sides

# Figures are written with all their digits; what is left is another order of summation.
TOLERANCE = 1e-9
# A file that was replaced contradicts in thousands of rows; these are enough to see how.
MOST = 20
# Of `results.json`: since version 2 its intervals and its choice are those of ggez_hub.parity.
RESULTS_VERSION = 2


class DoesNotFollow(GgezError):
    """A figure is not what the predictions give, or they contradict themselves."""


@dataclass(frozen=True, eq=False)
class Verification:
    """What came of it: how many figures were recomputed, and everything that does not follow.

    closed_answers  how many answers of the closed part were looked at; None where they were not given
    """

    evidence: Evidence
    figures: int
    problems: tuple[str, ...]
    unproven: int
    recomputed: dict[str, Any]
    closed_answers: int | None = None

    @property
    def selection(self) -> dict[str, Any]:
        """beta as chosen again."""
        found: dict[str, Any] = self.recomputed["selection"]
        return found

    @property
    def policies(self) -> tuple[PolicyOutcome, ...]:
        """What each policy chooses, and what that keeps and gains."""
        return policies_of(self.evidence)


def verify_evidence(path: Path) -> Verification:
    """Recompute a card or a results folder.

    Raises NoEvidence and what reading raises. `unproven` counts the card's rows and
    seeds that name no predictions: nobody can recompute them.
    """
    evidence = open_evidence(path)
    if evidence.recorded is not None and evidence.header.schema_version < RESULTS_VERSION:
        raise NoEvidence(
            f"{path} was written by an earlier version, which computed other intervals and chose beta by "
            "another rule",
            "Run the same sweep or evaluation into a new folder: answers in the cache are not asked anew.",
        )
    problems = list(evidence.problems)
    metrics = {name: task.metric for name, task in evidence.header.tasks.items()}
    if (part := evidence.header.closed) is not None:
        for opened in (evidence.outcomes, *evidence.baselines.values()):
            problems += misplaced(opened, part, closed=False)
    rows = [
        *contradictions(evidence.outcomes, metrics),
        *contradictions(evidence.claims, metrics),
    ]
    problems += rows[:MOST]
    if len(rows) > MOST:
        problems.append(f"and {len(rows) - MOST} more rows of the predictions contradict")
    unproven = 0
    if evidence.recorded is not None:
        _known_tasks(evidence)
        problems += _baselines(evidence)
        problems += _models(evidence)
        recomputed = figures(evidence)
        problems += differences(evidence.recorded, recomputed)
        count = sum(1 for _ in leaves(recomputed))
    else:
        recomputed = figures(evidence)
        assert evidence.document is not None  # noqa: S101 - evidence is of a card or of results
        curve = evidence.document.card.curve
        assert curve != "unknown"  # noqa: S101 - open_evidence has looked
        found, count, unproven = _card(curve, {**evidence.outcomes, **evidence.claims})
        problems += [*found, *_baselines(evidence)]
        if (beside := evidence.document.card.baselines) is not None:
            again = recomputed_baselines(evidence, beside)
            problems += differences(beside.model_dump(mode="json"), again, "baselines")
            count += sum(1 for _ in leaves(again))
        parities = [(evidence.document.card.measured, evidence)]
        for joint, outcomes in evidence.joint:
            found, more, bare = _card(joint.curve, outcomes)
            problems += [*contradictions(outcomes, metrics)[:MOST], *found]
            count, unproven = count + more, unproven + bare
            header = evidence.header.model_copy(update={"region": joint.region})
            parities.append((joint.measured, replace(evidence, header=header, outcomes=outcomes)))
        for recorded, answers in parities:
            found, more = _parity(recorded, answers)
            problems, count = problems + found, count + more
        for run, outcomes in evidence.seeds:
            found, more = _seed(run, replace(evidence, outcomes=outcomes))
            problems, count = problems + found, count + more
        unproven += sum(run.predictions == "unknown" for run in evidence.document.card.seeds)
    return Verification(evidence, count, tuple(problems), unproven, recomputed)


def _known_tasks(evidence: Evidence) -> None:
    cells = {*evidence.outcomes, *(c for o in evidence.baselines.values() for c in o)}
    unknown = sorted({cell.task for cell in cells} - set(evidence.header.tasks))
    if unknown:
        raise BadPredictions(
            f"{evidence.place / PREDICTIONS} answers {', '.join(unknown)}, "
            "which the results do not describe"
        )


def _baselines(evidence: Evidence) -> list[str]:
    """What is off in the answers of baselines; each is one model, asked what the grid was."""
    found = []
    questions = {(cell.task, cell.split) for cell in evidence.outcomes}
    for name, outcomes in evidence.baselines.items():
        found += [f"{name}: {problem}" for problem in contradictions(outcomes)[:MOST]]
        if len({cell.beta for cell in outcomes}) != 1:
            found.append(f"{name}: the answers are not those of one model")
        if {(cell.task, cell.split) for cell in outcomes} != questions:
            found.append(f"{name}: the answers are to other tasks than those of the grid")
    return found


def _models(evidence: Evidence) -> list[str]:
    """Points whose model is named and that nobody answered, and the reverse."""
    named, answered = (
        {read_key(key) for key in evidence.header.models},
        {cell.beta for cell in evidence.outcomes},
    )
    if not named:
        return []
    return [
        f"beta {beta:g} is measured by {'the predictions' if beta in answered else 'the header'} alone"
        for beta in sorted(named ^ answered)
    ]


def differences(recorded: Any, recomputed: Any, where: str = "") -> list[str]:
    """The places at which a recorded document is not the recomputed one, each with both values."""
    if isinstance(recomputed, Mapping) and isinstance(recorded, Mapping):
        return [
            problem
            for key in dict.fromkeys([*recomputed, *recorded])
            for problem in differences(
                recorded.get(key, _ABSENT),
                recomputed.get(key, _ABSENT),
                f"{where}: {key}" if where else str(key),
            )
        ]
    if isinstance(recomputed, list) and isinstance(recorded, list):
        if len(recorded) != len(recomputed):
            return [f"{where} has {len(recorded)} entries, the predictions give {len(recomputed)}"]
        return [
            problem
            for number, pair in enumerate(zip(recorded, recomputed, strict=True))
            for problem in differences(*pair, f"{where}[{number}]")
        ]
    if _same(recorded, recomputed):
        return []
    return [f"{where} is {_shown(recorded)}, the predictions give {_shown(recomputed)}"]


_ABSENT = object()


def _same(recorded: Any, recomputed: Any) -> bool:
    numbers = (int, float)
    if isinstance(recorded, bool) or isinstance(recomputed, bool):
        return recorded is recomputed
    if isinstance(recorded, numbers) and isinstance(recomputed, numbers):
        both_nan = math.isnan(recorded) and math.isnan(recomputed)
        return both_nan or math.isclose(recorded, recomputed, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(recorded == recomputed)


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "absent"
    if isinstance(value, Mapping | list):
        return "there"
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def leaves(value: Any) -> Iterator[Any]:
    """The numbers of a document."""
    if isinstance(value, Mapping):
        for part in value.values():
            yield from leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from leaves(part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def _card(
    curve: Mapping[str, Mapping[str, CurveRow]], outcomes: Mapping[Cell, Outcomes]
) -> tuple[list[str], int, int]:
    """What does not follow, how many figures were compared, and how many rows have no predictions."""
    found: list[str] = []
    compared = unproven = 0
    seen = set()
    for beta, rows in curve.items():
        for key, row in rows.items():
            cell = Cell(read_key(beta), task_of(key), row.split)
            seen.add(cell)
            if row.predictions == "unknown":
                unproven += 1
            elif cell not in outcomes:
                found.append(f"{cell} has a score on the card and no predictions")
            else:
                problems, number = _row(cell, row, outcomes[cell])
                found += problems
                compared += number
    found += [
        f"{cell} has predictions and no score on the card"
        for cell in outcomes
        if cell not in seen and len(outcomes[cell])
    ]
    return found, compared, unproven


def _parity(recorded: MeasuredCurve | None, evidence: Evidence) -> tuple[list[str], int]:
    """What does not follow of the sides of parity that a card records, and how many figures."""
    if recorded is None or recorded.parity == "independent":
        return [], 0
    proven = {
        key: {task: row for task, row in rows.items() if row.predictions != "unknown"}
        for key, rows in recorded.rows.items()
    }
    again = parity_of(evidence, proven)
    found = [
        problem
        for split, sides in recorded.parity.items()
        for problem in differences(
            parity_numbers(sides),
            parity_numbers(again[split]) if split in again else None,
            f"parity: {split}",
        )
    ]
    return found, sum(1 for sides in again.values() for _ in leaves(parity_numbers(sides)))


def _seed(run: SeedRun, evidence: Evidence) -> tuple[list[str], int]:
    """What does not follow of another seed's scores, and how many figures."""
    outcomes, header = evidence.outcomes, evidence.header
    where = f"seed {run.seed}"
    found = [f"{where}: {problem}" for problem in contradictions(outcomes)[:MOST]]
    if unknown := sorted({cell.task for cell in outcomes} - set(header.tasks)):
        return [
            *found,
            f"{where} answers {', '.join(unknown)}, which the card does not describe",
        ], 0
    again = {split: sides.model_dump() for split, sides in seed_sides(curve_of(evidence)).items()}
    recorded = {split: sides.model_dump() for split, sides in run.sides.items()}
    return [*found, *differences(recorded, again, where)], sum(1 for _ in leaves(again))


def parity_numbers(sides: SplitParity) -> dict[str, Any]:
    """A record of parity with its covariance as numbers, to as many digits as are stored."""
    found = sides.model_dump(mode="json", exclude={"covariance", "changed", "measured_by"})
    changed = [list(map(_few_digits, rows)) for rows in sides.changed]
    covariance = list(map(_few_digits, sides.covariance))
    return {**found, "covariance": covariance, "changed": changed}


def _few_digits(row: str) -> list[str]:
    return [f"{float(value):.5g}" for value in row.split(" ")]


def _row(cell: Cell, row: CurveRow, outcomes: Outcomes) -> tuple[list[str], int]:
    score = score_of(outcomes.by(row.average))
    parts = by_country(outcomes, score, sorted(row.by_country))
    recorded = {
        **{name: getattr(row, name) for name in ("score", "n", "se", "floor")},
        "by country": {country: part.model_dump() for country, part in row.by_country.items()},
    }
    recomputed = {
        **{name: getattr(score, name) for name in ("score", "n", "se", "floor")},
        "by country": {country: part.model_dump() for country, part in parts.items()},
    }
    return differences(recorded, recomputed, str(cell)), sum(1 for _ in leaves(recomputed))


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
