"""The gates of what people said: a side of their own, never averaged with automatic scores.

Of each measure of a study: whether the human GRP of the merge is ahead of the base's. On a card only rows
that the registry measured gate; those of its author are statements. Scripts never gate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ggez_hub.cards.measurements import Figure
from ggez_hub.cards.people import PeopleRow
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.evaluation.gates.rules import Gate, Verdict
from ggez_hub.evaluation.people.card_rows import betas_on, people_rows, recomputed_rows
from ggez_hub.evaluation.people.scores import read_scores
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.parity.betas import Beta, beta_key
from ggez_hub.parity.intervals import LEVEL, Interval
from ggez_hub.parity.score_intervals import NORMAL
from ggez_hub.quantities import counted


def rows_beside(evidence: Evidence, study: Path | None) -> tuple[PeopleRow, ...]:
    """What people said of the models that were measured: of a study's folder, or else of the card.

    Raises UsageProblem where a study judges other models, GgezError where its scores do not follow
    from its ratings.
    """
    card = evidence.document.card if evidence.document else None
    if study is None:
        # What nobody can recompute is a claim, whoever wrote it.
        return tuple(
            own or row.model_copy(update={"measured_by": "self"})
            for row, own, _ in (recomputed_rows(card, evidence.place) if card else ())
        )
    scores = read_scores(study)
    if scores.problems:
        raise GgezError(scores.problems[0], f"ggez-hub verify {study} compares all of them.")
    points = {digest: key for key, digest in evidence.header.models.items()}
    points |= betas_on(card) if card else {}
    rows = people_rows(scores, points, "registry")
    found = tuple(row for row in rows if row.beta is not None)
    if not any(row.base is not None for row in found):
        raise UsageProblem(
            f"people judged none of the models of {evidence.place}",
            "Name them in the study by base, adapter and a beta that was measured.",
        )
    return found


def people_gates(rows: Iterable[PeopleRow], beta: Beta) -> Iterator[Gate]:
    """A gate for each measure by which people compared this beta with the base."""
    for row in _of(rows, beta):
        if row.judge == "people" and row.measured_by == "registry":
            yield _gate(row)


def people_statements(rows: Iterable[PeopleRow], beta: Beta) -> Iterator[str]:
    """What people said that gates nothing."""
    rows = list(rows)
    if rows and not _of(rows, beta):
        others = sorted({row.beta for row in rows if row.beta is not None and row.base is not None})
        yield f"people judged beta {', '.join(others)}, not this one"
    for row in _of(rows, beta):
        if row.judge == "simulated":
            yield f"{row.measure}: scripts judged, not people: it gates nothing"
        elif row.measured_by == "self" and row.over_base is not None:
            yield (
                f"people, as its author claims: by {row.measure} a difference in human GRP of "
                f"{_interval(row, row.over_base).shown()} points to the base"
            )


def _of(rows: Iterable[PeopleRow], beta: Beta) -> Sequence[PeopleRow]:
    key = beta_key(beta)
    return [row for row in rows if row.beta == key and row.base is not None]


def _gate(row: PeopleRow) -> Gate:
    name = f"people: {row.measure}"
    judged = f"{counted(row.judgements, 'judgement')} of {counted(row.raters, 'rater')}"
    if row.over_base is None:
        return Gate(name, "undetermined", f"one side of raters has not judged; {judged}")
    found = _interval(row, row.over_base)
    verdict: Verdict = "undetermined"
    if found.is_decided and (found.low > 0 or found.high < 0):
        verdict = "pass" if found.low > 0 else "fail"
    reason = f"human GRP has to be ahead of the base's; {judged}"
    if verdict == "undetermined":
        needed = f"{row.needed:,} judgements" if row.needed else "more raters or items"
        reason += f" do not decide; to show it with 80 % power: {needed}"
    return Gate(name, verdict, reason, found)


def _interval(row: PeopleRow, figure: Figure) -> Interval:
    z = NORMAL.inv_cdf((1 + LEVEL) / 2)
    se = (figure.high - figure.low) / (2 * z)
    refusal = "too few judgements" if figure.undetermined else None
    return Interval(figure.value, se, figure.low, figure.high, row.items, refusal)
