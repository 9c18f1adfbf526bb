"""Scores of people as rows of a card: written from a study, recomputed from the ratings beside it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ggez_hub.cards import AdapterCard, read_card, write_card
from ggez_hub.cards.measurements import Figure
from ggez_hub.cards.people import PeopleRow
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.evaluation.people.agreement import agreement
from ggez_hub.evaluation.people.estimates import Estimate
from ggez_hub.evaluation.people.ratings import RATINGS, Ratings, read_ratings
from ggez_hub.evaluation.people.sample import Sample, counted_ratings, judge_of
from ggez_hub.evaluation.people.scores import PeopleScores

CARD, EVIDENCE, COPY = "README.md", "evidence", "people-"
MeasuredBy = Literal["self", "registry"]


def people_rows(
    scores: PeopleScores, betas: Mapping[str, str], measured_by: MeasuredBy = "self"
) -> Iterator[PeopleRow]:
    """A row for each measure and model of a study; `betas` are the points of models, by digest."""
    header = scores.header
    base, unmerged = header.of_role("base"), header.of_role("unmerged")
    for measure, (worst, best) in header.measures.items():
        for model in header.models if measure in scores.ratings.names("measure") else ():
            row = PeopleRow(
                judge=scores.judge,
                measured_by=measured_by,
                study=header.study,
                ratings=header.sha256,
                design=header.design,
                measure=measure,
                worst=worst,
                best=best,
                compared=header.compared if header.compares else None,
                region=header.region,
                alpha=header.alpha.value,
                beta=betas.get(model.digest),
                model=model.digest,
                base=base.digest if base and model is not base else None,
                unmerged=unmerged.digest if unmerged and model.role == "merged" else None,
                raters=1,
                items=1,
                judgements=1,
                agreement={},
                without=list(header.without),
            )
            yield recomputed(row, scores.ratings)


def recomputed(row: PeopleRow, ratings: Ratings) -> PeopleRow:
    """The row with every figure as it follows from ratings; raises GgezError for those of others."""
    names = _model_names(ratings)
    missing = {row.model, row.base, row.unmerged} - {None} - names.keys()
    compared = row.compared in (None, ratings.only("models"))
    if (row.study, row.design) != (ratings.only("study"), ratings.only("design")) or not compared:
        raise GgezError("the ratings are of another study than the row")
    if missing or row.measure not in ratings.names("measure") or row.worst == row.best:
        raise GgezError(f"the ratings have no values of {row.measure} of these models")
    kept = counted_ratings(row.without, ratings)
    sample = Sample.of(kept, (row.worst, row.best), row.measure, row.alpha)
    model, alone = names[row.model], row.compared is None

    def over(other: str | None) -> Estimate | None:
        return None if other is None else sample.grp_difference(model, names[other])

    own, over_base = sample.mean(sample.ratings.equals("model", model)), over(row.base)
    figures = {
        "judge": judge_of(ratings),
        "raters": own.raters,
        "items": own.items,
        "judgements": own.judgements,
        "agreement": dict(_agreement(sample.ratings)),
        "q_global": _figure(sample.side(model, "global")) if alone else None,
        "q_regional": _figure(sample.side(model, "regional")) if alone else None,
        "grp": _figure(sample.grp(model)) if alone else None,
        "over_base": _figure(over_base),
        "over_unmerged": _figure(over(row.unmerged)),
        "needed": over_base.needed if over_base else None,
    }
    return row.model_copy(update=figures)


def _model_names(ratings: Ratings) -> dict[str, str]:
    """The names of models in the ratings, by digest."""
    pairs = np.unique(np.stack([ratings.codes("model_digest"), ratings.codes("model")]), axis=1)
    return {ratings.names("model_digest")[d]: ratings.names("model")[m] for d, m in pairs.T}


def _agreement(ratings: Ratings) -> Iterator[tuple[str, Figure]]:
    for language in ratings.names("rater_language"):
        rows = ratings.equals("rater_language", language)
        found = agreement(ratings.where(rows))
        if math.isfinite(found.low):
            yield language, Figure(value=found.alpha, low=found.low, high=found.high)


def _figure(found: Estimate | None) -> Figure | None:
    if found is None or not math.isfinite(found.se):
        return None
    doubtful = found.refusal is not None
    return Figure(value=found.value, low=found.low, high=found.high, undetermined=doubtful)


def betas_on(card: AdapterCard) -> dict[str, str]:
    """The points of the models that a card has scores of, by their digests."""
    curve = {} if card.curve == UNKNOWN else card.curve
    return {row.model: beta for beta, rows in curve.items() for row in rows.values()}


@dataclass(frozen=True)
class NotedScores:
    """A card as it was written: how many rows of people it has, and the ratings beside it."""

    card: Path
    rows: int
    ratings: Path


def note_scores(scores: PeopleScores, place: Path, measured_by: MeasuredBy) -> NotedScores:
    """Write scores onto the card in `place` (or its folder), for the models that its curve has.

    Rows of the same study are replaced. Raises UsageProblem for scores of scripts, another region, or
    models that the card does not have; GgezError, BadCard.
    """
    path = place / CARD if place.is_dir() else place
    document = read_card(path)
    card, header = document.card, scores.header
    if scores.judge == "simulated":
        raise UsageProblem(
            "scripts judged, not people: such scores do not enter a card", "Leave --card out."
        )
    if header.region != card.region:
        raise UsageProblem(
            f"the study is of the region {header.region}, the card's is {card.region}"
        )
    betas = betas_on(card)
    found = [row for row in people_rows(scores, betas, measured_by) if row.beta is not None]
    if not any(row.base is not None for row in found):
        raise UsageProblem(
            "the card's curve has none of the models that people judged",
            "Name them in the study by base, adapter and a beta of the sweep that is on the card.",
        )
    rows = [row for row in card.people if row.study != header.study] + found
    folder = path.parent / EVIDENCE
    folder.mkdir(exist_ok=True)
    copy = folder / f"{COPY}{header.sha256[:12]}.parquet"
    # Before the card that names it.
    shutil.copyfile(scores.folder / RATINGS, copy)
    write_card(path, replace(document, card=card.model_copy(update={"people": rows})))
    named = {row.ratings[:12] for row in rows}
    for file in folder.glob(f"{COPY}*.parquet"):
        if file.stem.removeprefix(COPY) not in named:
            file.unlink()
    return NotedScores(path, len(found), copy)


def recomputed_rows(
    card: AdapterCard, folder: Path
) -> Iterator[tuple[PeopleRow, PeopleRow | None, str]]:
    """The rows of people of a card, as recorded and recomputed, or None and why that cannot be."""
    files = {sha256_file(file): file for file in sorted(folder.rglob(f"{COPY}*.parquet"))}
    known = {
        digest: read_ratings(file)
        for digest, file in files.items()
        if digest in {row.ratings for row in card.people}
    }
    for row in card.people:
        if row.ratings not in known:
            yield row, None, f"no file here has the sha256 {row.ratings[:16]}… of its ratings"
            continue
        try:
            yield row, recomputed(row, known[row.ratings]), ""
        except GgezError as error:
            yield row, None, error.message
