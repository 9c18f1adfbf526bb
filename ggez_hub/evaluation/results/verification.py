"""Every figure of a card or a results folder, recomputed from its predictions without a model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ggez_hub.cards import AdapterCard, CurveRow
from ggez_hub.cards.curve import CountryScore, MeasuredCurve, Rows, SplitParity
from ggez_hub.cards.measurements import ClosedPart, SeedRun
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.evaluation.answers.outcomes import Answers, Cell
from ggez_hub.evaluation.answers.predictions import parse_predictions
from ggez_hub.evaluation.answers.scores import Score, score_of
from ggez_hub.evaluation.people.card_rows import recomputed_rows
from ggez_hub.evaluation.results.baselines import recomputed_baselines
from ggez_hub.evaluation.results.closed_part import closed_part, misplaced
from ggez_hub.evaluation.results.consistency import contradictions
from ggez_hub.evaluation.results.evidence import Evidence, open_evidence
from ggez_hub.evaluation.results.figures import figures
from ggez_hub.evaluation.results.header import PREDICTIONS
from ggez_hub.evaluation.results.measured_curve import by_country, curve_of, parity_of, policies_of
from ggez_hub.parity.betas import read_key
from ggez_hub.parity.card_rows import task_of
from ggez_hub.parity.policy_outcomes import PolicyOutcome
from ggez_hub.parity.seeds import seed_sides
from ggez_hub.quantities import counted

# Figures are written with all their digits; what is left is another order of summation.
TOLERANCE = 1e-9
# A file that was replaced contradicts in thousands of rows; these are enough to see how.
MOST = 20
# Of `results.json`: since version 2 its intervals and its choice are those of ggez_hub.parity.
RESULTS_VERSION = 2


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
        found: dict[str, Any] = self.recomputed["selection"]
        return found

    def require_sound(self, place: Path) -> None:
        """Raise GgezError where something does not follow; `place` is what was verified."""
        if self.problems:
            raise GgezError(
                f"{place} does not follow from its predictions:\n  " + "\n  ".join(self.problems),
                "Somebody changed a figure or an answer: ask for the predictions of the measurement.",
            )

    @property
    def policies(self) -> tuple[PolicyOutcome, ...]:
        return policies_of(self.evidence)


def verify_evidence(path: Path) -> Verification:
    """Recompute a card or a results folder; raises GgezError, and what reading raises.

    `unproven` counts the card's rows and seeds that name no predictions: nobody can recompute them.
    """
    evidence = open_evidence(path)
    header = evidence.header
    if evidence.recorded is not None and header.schema_version < RESULTS_VERSION:
        raise GgezError(
            f"{path} was written by an earlier version, which computed other intervals and chose beta by "
            "another rule",
            "Run the same sweep or evaluation into a new folder: answers in the cache are not asked anew.",
        )
    check = _Check(list(evidence.problems))
    metrics = {name: task.metric for name, task in header.tasks.items()}
    if header.closed is not None:
        for opened in (evidence.outcomes, *evidence.baselines.values()):
            check.problems += misplaced(opened, header.closed, closed=False)
    rows = [
        *contradictions(evidence.outcomes, metrics),
        *contradictions(evidence.claims, metrics),
    ]
    check.problems += rows[:MOST]
    if len(rows) > MOST:
        check.problems.append(
            f"and {counted(len(rows) - MOST, 'more row')} of the predictions contradict"
        )
    if evidence.recorded is not None:
        _require_known_tasks(evidence)
        check.problems += [*_baselines(evidence), *_models(evidence)]
        recomputed = figures(evidence)
        check.compare(evidence.recorded, recomputed)
    else:
        recomputed = figures(evidence)
        assert evidence.document is not None  # noqa: S101 - evidence is of a card or of results
        check.card(evidence, evidence.document.card, metrics)
    return Verification(evidence, check.figures, tuple(check.problems), check.unproven, recomputed)


def with_closed(found: Verification, file: Path) -> Verification:
    """The same after the closed part was recomputed from the file with its predictions.

    Raises UsageProblem where no part is closed, and what reading raises.
    """
    evidence, part = found.evidence, found.evidence.header.closed
    if part is None:
        raise UsageProblem(f"{evidence.place} records no closed part", "Leave --closed out.")
    closed, digest = parse_predictions(file), sha256_file(file)
    check = _Check(list(found.problems))
    if digest != part.sha256:
        check.problems.append(
            f"{file.name} has the sha256 {digest[:16]}…, recorded is {part.sha256[:16]}…: "
            "it is another file, or was changed"
        )
    tasks = evidence.header.tasks
    check.problems += misplaced(closed, part, closed=True)
    if unknown := sorted({cell.task for cell in closed} - set(tasks)):
        check.problems.append(
            f"the closed part answers {', '.join(unknown)}, which is not described"
        )
    else:
        metrics = {name: task.metric for name, task in tasks.items()}
        check.problems += contradictions(closed, metrics)[:MOST]
        again = closed_part(evidence, closed, part, digest)
        check.compare(part.pictures, again.pictures, "closed: pictures")
        check.compare(_numbers(part.parity), _numbers(again.parity), "closed: parity")
    return replace(
        found,
        figures=found.figures + closed_figures(part),
        problems=tuple(check.problems),
        closed_answers=sum(map(len, closed.values())),
    )


def closed_figures(part: ClosedPart) -> int:
    """How many figures rest on the closed answers."""
    return 1 + sum(1 for _ in leaves(_numbers(part.parity)))


@dataclass
class _Check:
    """What does not follow, how many figures were compared, and how many have no predictions."""

    problems: list[str]
    figures: int = 0
    unproven: int = 0

    def compare(
        self, recorded: Any, recomputed: Any, where: str = "", of: str = "the predictions"
    ) -> None:
        self.problems += differences(recorded, recomputed, where, of)
        self.figures += sum(1 for _ in leaves(recomputed))

    def card(self, evidence: Evidence, card: AdapterCard, metrics: Mapping[str, str]) -> None:
        assert card.measured is not None  # noqa: S101 - open_evidence has looked
        self.rows(card.measured.rows, {**evidence.outcomes, **evidence.claims})
        self.problems += _baselines(evidence)
        if card.baselines is not None:
            again = recomputed_baselines(evidence, card.baselines)
            self.compare(card.baselines.model_dump(mode="json"), again, "baselines")
        curves = [(card.measured, evidence)]
        for joint, outcomes in evidence.joint:
            self.problems += contradictions(outcomes, metrics)[:MOST]
            self.rows(joint.curve, outcomes)
            header = evidence.header.model_copy(update={"region": joint.region})
            curves.append((joint.measured, replace(evidence, header=header, outcomes=outcomes)))
        for measured, answers in curves:
            self.parity(measured, answers)
        for run, outcomes in evidence.seeds:
            self.seed(run, replace(evidence, outcomes=outcomes))
        for row, own, problem in recomputed_rows(card, evidence.place):
            where = f"people: {row.measure} of {row.model[:8]}"
            if own is None:
                self.problems.append(f"{where}: {problem}")
            else:
                self.compare(
                    row.model_dump(mode="json"), own.model_dump(mode="json"), where, "the ratings"
                )
        self.unproven += sum(run.predictions == UNKNOWN for run in card.seeds)

    def rows(self, curve: Rows, outcomes: Answers) -> None:
        seen = set()
        for beta, rows in curve.items():
            for key, row in rows.items():
                cell = Cell(read_key(beta), task_of(key), row.split)
                seen.add(cell)
                if row.predictions == UNKNOWN:
                    self.unproven += 1
                elif cell not in outcomes:
                    self.problems.append(f"{cell} has a score on the card and no predictions")
                else:
                    score = score_of(outcomes[cell].by(row.average))
                    parts = by_country(
                        outcomes[cell].by(row.average), score, sorted(row.by_country)
                    )
                    self.compare(_figures(row, row.by_country), _figures(score, parts), str(cell))
        self.problems += [
            f"{cell} has predictions and no score on the card"
            for cell in outcomes
            if cell not in seen and len(outcomes[cell])
        ]

    def parity(self, recorded: MeasuredCurve, evidence: Evidence) -> None:
        if recorded.parity == "independent":
            return
        proven = {
            key: {task: row for task, row in rows.items() if row.predictions != UNKNOWN}
            for key, rows in recorded.rows.items()
        }
        again = parity_of(evidence, proven)
        for split, sides in recorded.parity.items():
            self.compare(_numbers(sides), _numbers(again.get(split)), f"parity: {split}")

    def seed(self, run: SeedRun, evidence: Evidence) -> None:
        where = f"seed {run.seed}"
        problems = contradictions(evidence.outcomes)[:MOST]
        self.problems += [f"{where}: {problem}" for problem in problems]
        unknown = sorted({cell.task for cell in evidence.outcomes} - set(evidence.header.tasks))
        if unknown:
            self.problems.append(
                f"{where} answers {', '.join(unknown)}, which the card does not describe"
            )
            return
        again, recorded = (
            {split: sides.model_dump() for split, sides in found.items()}
            for found in (seed_sides(curve_of(evidence)), run.sides)
        )
        self.compare(recorded, again, where)


def _figures(score: Score | CurveRow, countries: Mapping[str, CountryScore]) -> dict[str, Any]:
    return {
        **{name: getattr(score, name) for name in ("score", "n", "se", "floor")},
        "by country": {country: part.model_dump() for country, part in countries.items()},
    }


def _require_known_tasks(evidence: Evidence) -> None:
    cells = {*evidence.outcomes, *(c for o in evidence.baselines.values() for c in o)}
    unknown = sorted({cell.task for cell in cells} - set(evidence.header.tasks))
    if unknown:
        raise GgezError(
            f"{evidence.place / PREDICTIONS} answers {', '.join(unknown)}, "
            "which the results do not describe"
        )


def _baselines(evidence: Evidence) -> list[str]:
    """What is wrong in the answers of baselines; each is one model, asked what the grid was."""
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


def differences(
    recorded: Any, recomputed: Any, where: str = "", of: str = "the predictions"
) -> list[str]:
    """The places at which a recorded document is not what `of` gives, each with both values."""
    if isinstance(recomputed, Mapping) and isinstance(recorded, Mapping):
        return [
            problem
            for key in dict.fromkeys([*recomputed, *recorded])
            for problem in differences(
                recorded.get(key, _ABSENT),
                recomputed.get(key, _ABSENT),
                f"{where}: {key}" if where else str(key),
                of,
            )
        ]
    if isinstance(recomputed, list) and isinstance(recorded, list):
        if len(recorded) != len(recomputed):
            return [
                f"{where} has {counted(len(recorded), 'entry', 'entries')}, {of} give {len(recomputed)}"
            ]
        return [
            problem
            for number, pair in enumerate(zip(recorded, recomputed, strict=True))
            for problem in differences(*pair, f"{where}[{number}]", of)
        ]
    if _same(recorded, recomputed):
        return []
    return [f"{where} is {_shown(recorded)}, {of} give {_shown(recomputed)}"]


_ABSENT = object()


def _same(recorded: Any, recomputed: Any) -> bool:
    numbers = (int, float)
    if isinstance(recorded, bool) or isinstance(recomputed, bool):
        return recorded is recomputed
    if isinstance(recorded, numbers) and isinstance(recomputed, numbers):
        try:
            both_nan = math.isnan(recorded) and math.isnan(recomputed)
            return both_nan or math.isclose(
                recorded, recomputed, rel_tol=TOLERANCE, abs_tol=TOLERANCE
            )
        except OverflowError:  # a whole number of a changed file, beyond what a float can hold
            return False
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


def _numbers(sides: SplitParity | None) -> dict[str, Any] | None:
    """A record of parity with its covariance as numbers, to as many digits as are stored."""
    if sides is None:
        return None
    found = sides.model_dump(mode="json", exclude={"covariance", "changed", "measured_by"})
    changed = [list(map(_few_digits, rows)) for rows in sides.changed]
    covariance = list(map(_few_digits, sides.covariance))
    return {**found, "covariance": covariance, "changed": changed}


def _few_digits(row: str) -> list[str]:
    return [f"{float(value):.5g}" for value in row.split(" ")]
