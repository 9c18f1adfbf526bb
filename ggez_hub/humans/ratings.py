"""Judgements of a study as a file, and the scores that follow: STUDY/ratings.parquet, STUDY/scores.json.

What the columns mean, and how scores follow, stands in `ggez_hub.evaluation.people`, which needs no
study: whoever has the two files can recompute every score.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ggez_hub.cards.schema import AlphaRecord, alpha_record
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.people.ratings import RATINGS, Row, read_ratings, write_ratings
from ggez_hub.evaluation.people.scores import (
    Json,
    ScoredModel,
    ScoresHeader,
    models_digest,
    scores,
    write_scores,
)
from ggez_hub.humans.store import Judgement, Rater, Store
from ggez_hub.humans.study import Study
from ggez_hub.regions import alpha


def ratings_of(
    study: Study, raters: Mapping[str, Rater], judgements: Iterable[Judgement]
) -> Iterator[Row]:
    """The rows of judgements; ranks become mid-ranks, so that ties cost nobody.

    Those of raters who are not in `raters` are left out: they came, or were forgotten, meanwhile.
    """
    models = models_digest(model.digest for model in study.models)
    for judgement in judgements:
        rater, shown = raters.get(judgement.rater), judgement.shown
        if rater is None:
            continue
        item = study.by_item[shown.item]
        for measure in study.design.measures:
            given = {
                model: answers[measure]
                for model, answers in judgement.answers.items()
                if measure in answers
            }
            values = mid_ranks(given) if measure == "rank" else given
            for model, value in values.items():
                yield {
                    "study": study.digest,
                    "design": study.design.name,
                    "measure": measure,
                    "judgement": f"{rater.id}/{shown.key}",
                    "item": item.id,
                    "item_side": item.item_side,
                    "category": item.category,
                    "language": item.language,
                    "model": model,
                    "model_digest": study.by_name[model].digest,
                    "models": models,
                    "rater": rater.id,
                    "rater_kind": rater.kind,
                    "rater_side": rater.side,
                    "rater_language": rater.language,
                    "rater_country": rater.country or "",
                    "rater_languages": list(rater.languages),
                    "time": judgement.time,
                    "position": shown.models.index(model),
                    "occurrence": shown.occurrence,
                    "value": float(value),
                    "seconds": judgement.seconds,
                    "gold": shown.gold,
                    "gold_right": _is_right(study, judgement, measure, model),
                }


def mid_ranks(values: Mapping[str, float]) -> dict[str, float]:
    """Ranks from 1, of which those that tie have the mean: 1, 2, 2 becomes 1, 2.5, 2.5."""
    return {
        name: sum(other < own for other in values.values())
        + (sum(other == own for other in values.values()) + 1) / 2
        for name, own in values.items()
    }


def _is_right(study: Study, judgement: Judgement, measure: str, model: str) -> bool | None:
    """Whether a known answer was given; only the first measure has known ones."""
    gold = study.by_item[judgement.shown.item].gold or {}
    if measure != next(iter(study.design.measures)) or model not in gold:
        return None
    return judgement.answers[model][measure] in gold[model]


def collect(folder: Path, study: Study) -> str:
    """Write the judgements of a study's folder as its ratings; returns the sha256 of the file."""
    store = Store(folder)
    raters = {rater.id: rater for rater in store.raters()}
    rows = list(ratings_of(study, raters, store.judgements()))
    if not rows:
        raise GgezError(
            f"nobody has judged anything in {folder} yet",
            f"ggez-hub humans invite {folder} makes invitations, humans serve {folder} asks.",
        )
    return write_ratings(folder / RATINGS, rows)


def score(
    folder: Path, study: Study, sha256: str, *, factor: AlphaRecord | None = None, without: Sequence[str] = ()
) -> tuple[ScoresHeader, Json]:  # fmt: skip
    """Write the scores of a folder whose ratings have this sha256; `factor` is the region's alpha."""
    header = ScoresHeader(
        study=study.digest,
        name=study.name,
        region=study.region,
        alpha=factor or alpha_record(alpha(study.region)),
        design=study.design.name,
        compares=study.design.compares,
        measures={name: list(ends) for name, ends in study.design.measures.items()},
        models=[ScoredModel(**model.model_dump()) for model in study.models],
        without=sorted(without),
        sha256=sha256,
    )
    found = scores(header, read_ratings(folder / RATINGS))
    write_scores(folder, header, found)
    return header, found
