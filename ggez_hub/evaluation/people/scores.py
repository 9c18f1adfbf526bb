"""Scores of people: everything that follows from ratings.parquet and a header, as scores.json.

    FOLDER/scores.json      the header: what the ratings do not say, and the sha256 of their file;
                            the scores, which `verify` recomputes from both
    FOLDER/ratings.parquet

Values are normalised to 0-100 from the worst and the best of their measure. Global-Regional Parity is of
the raters' sides: Q_global from raters of the rest of the world, Q_regional from those of the region
(arXiv 2604.11490, section 4). A value of a rank or a preference holds beside the models that were
compared: only differences within the study are to be shown of it.

People alone are scored where there are any; `judge` is `simulated` where every rater was a script.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import Field, ValidationError

from ggez_hub.atomic_files import write_file
from ggez_hub.cards import AlphaRecord
from ggez_hub.cards.values import Sha256, Text
from ggez_hub.digests import digest_json, finite, sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.people.agreement import agreement, consistency, rater_records
from ggez_hub.evaluation.people.estimates import Estimate
from ggez_hub.evaluation.people.preferences import comparisons, strengths, win_rates
from ggez_hub.evaluation.people.ratings import (
    RATINGS,
    SIDES,
    Mask,
    Ratings,
    read_ratings,
)
from ggez_hub.evaluation.people.sample import (
    Judge,
    Sample,
    counted_ratings,
    in_points,
    judge_of,
)
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.text_files import MAX_BYTES, read_text
from ggez_hub.validation_errors import listed

SCORES = "scores.json"
Json: TypeAlias = dict[str, Any]
COMPARING = ("rank", "preference")


# An end of a measure: of a rank, a preference or the points of a scale.
End = Annotated[float, Field(ge=-1000, le=1000)]


class ScoredModel(FrozenModel):
    """A model of the study; `digest` is the sha256 of what it is."""

    name: Text
    role: Literal["base", "merged", "unmerged", "other"]
    digest: Sha256
    beta: float | None = None


class ScoresHeader(FrozenModel):
    """What scores rest on beside the ratings.

    measures  the worst and the best value of each
    without   raters whose judgements are left out
    """

    schema_version: Literal[1] = 1
    kind: Literal["people-scores"] = "people-scores"
    study: Sha256
    name: Text
    region: str
    alpha: AlphaRecord
    design: Text
    compares: bool
    measures: dict[Text, Annotated[list[End], Field(min_length=2, max_length=2)]]
    models: Annotated[list[ScoredModel], Field(min_length=1)]
    without: list[Text] = Field([])
    sha256: Sha256

    @property
    def compared(self) -> str:
        """The digest of the set of models, beside which ranks and preferences hold."""
        return models_digest(model.digest for model in self.models)

    def of_role(self, role: str) -> ScoredModel | None:
        return next((model for model in self.models if model.role == role), None)

    @property
    def pairs(self) -> Iterator[tuple[ScoredModel, ScoredModel]]:
        """The differences: over the base, and of the merge over the unmerged; all where no base is."""
        base = self.of_role("base")
        if base is None:
            yield from ((one, other) for other, one in combinations(self.models, 2))
            return
        yield from ((model, base) for model in self.models if model is not base)
        unmerged = self.of_role("unmerged")
        if unmerged is not None:
            yield from ((m, unmerged) for m in self.models if m.role == "merged")


def models_digest(digests: Any) -> str:
    """The digest of a set of models."""
    return digest_json(sorted(set(digests)))


def scores(header: ScoresHeader, ratings: Ratings) -> Json:
    """Everything that follows from ratings; raises GgezError where they are not of this header."""
    _require_same(header, ratings)
    kept = counted_ratings(header.without, ratings)
    found = rater_records(kept)
    return {
        "judge": judge_of(ratings),
        "compared": header.compared if header.compares else None,
        "judgements": len(np.unique(kept.codes("judgement"))),
        "raters": [record.as_dict() for record in found],
        "measures": {
            measure: _measure(header, kept, measure)
            for measure in header.measures
            if measure in kept.names("measure")
        },
        "comparisons": _comparisons(header, kept),
    }


def _require_same(header: ScoresHeader, ratings: Ratings) -> None:
    same = {
        "study": (header.study, ratings.only("study")),
        "design": (header.design, ratings.only("design")),
        "set of models": (header.compared, ratings.only("models")),
    }
    if other := [what for what, (one, two) in same.items() if one != two]:
        raise GgezError(f"the ratings are of another {other[0]} than the scores' header")
    digests = {model.name: model.digest for model in header.models}
    pairs = np.unique(np.stack([ratings.codes("model"), ratings.codes("model_digest")]), axis=1).T
    for model, digest in pairs:
        name = ratings.names("model")[model]
        if digests.get(name) != ratings.names("model_digest")[digest]:
            raise GgezError(f"the ratings are of a model {name} that the header does not name")
    if unknown := set(ratings.names("measure")) - set(header.measures):
        raise GgezError(f"the header does not describe the measure {min(unknown)}")
    for measure, (one, two) in header.measures.items():
        values = ratings.value[ratings.equals("measure", measure)]
        if one == two or not ((values >= min(one, two)) & (values <= max(one, two))).all():
            raise GgezError(f"a value of {measure} is not between {one:g} and {two:g}")


def _measure(header: ScoresHeader, kept: Ratings, measure: str) -> Json:
    ends = header.measures[measure]
    sample = Sample.of(kept, ends, measure, header.alpha.value)
    own = kept.where(kept.equals("measure", measure) & ~kept.gold)
    languages = [
        (language, rows)
        for language in kept.names("rater_language")
        if (rows := sample.ratings.equals("rater_language", language)).any()
    ]
    return {
        "ends": list(ends),
        "models": {model.name: _model(sample, model.name, ends) for model in header.models},
        "differences": [
            {
                "model": model.name,
                "over": other.name,
                **{f"q_{side}": _difference(sample.side_difference(model.name, other.name, side)) for side in SIDES},
                "grp": _difference(sample.grp_difference(model.name, other.name)),
            }
            for model, other in header.pairs
        ],
        "agreement": {
            language: agreement(sample.ratings.where(rows)).as_dict() for language, rows in languages
        },
        "consistency": consistency(own, in_points(own.value, ends)),
    }  # fmt: skip


def _difference(found: Estimate) -> Json:
    return {**found.as_dict(), "verdict": found.verdict}


def _model(sample: Sample, model: str, ends: Sequence[float]) -> Json:
    """Of one model: parity on 0-100; the mean as it was judged, also by category and language."""
    worst, best = ends

    def mean(rows: Mask) -> Json:
        found = sample.mean(rows & own).as_dict()
        scale = (best - worst) / 100
        low, high = sorted(worst + scale * end for end in found["interval"])
        value, se = worst + scale * found["value"], abs(scale) * found["se"]
        return {**found, "value": value, "interval": [low, high], "se": se}

    ratings = sample.ratings
    own = ratings.equals("model", model)

    def parts(column: str) -> Json:
        return {
            name: mean(rows)
            for name in ratings.names(column)
            if (own & (rows := ratings.equals(column, name))).any()
        }

    return {
        **{f"q_{side}": sample.side(model, side).as_dict() for side in SIDES},
        "grp": sample.grp(model).as_dict(),
        "mean": mean(own),
        "by_category": parts("category"),
        "by_language": parts("rater_language"),
        "by_item_side": parts("item_side"),
    }


def _comparisons(header: ScoresHeader, kept: Ratings) -> Json | None:
    measure = next((m for m in COMPARING if m in header.measures), None)
    if measure is None or measure not in kept.names("measure"):
        return None
    sample = Sample.of(kept, header.measures[measure], measure, header.alpha.value)
    found = comparisons(sample.ratings, sample.points, sample.by)
    names = sample.ratings.names("model")
    return {
        "pairs": len(found),
        "win_rates": [rate.as_dict() for rate in win_rates(found, names)],
        "davidson": strengths(found, names).as_dict(),
    }


def write_scores(folder: Path, header: ScoresHeader, found: Json) -> None:
    """Write scores.json."""
    document = {"header": header.model_dump(mode="json"), **finite(found)}
    text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
    write_file(folder / SCORES, f"{text}\n")


@dataclass(frozen=True, eq=False)
class PeopleScores:
    """The scores of a folder as recorded and as recomputed, and what is wrong with its files."""

    folder: Path
    header: ScoresHeader
    ratings: Ratings
    recorded: Json
    recomputed: Json
    problems: tuple[str, ...]

    @property
    def judge(self) -> Judge:
        return judge_of(self.ratings)


def read_scores(folder: Path) -> PeopleScores:
    """The scores of a folder, recomputed; raises GgezError where files are missing or not valid."""
    path = folder / SCORES
    try:
        recorded = json.loads(read_text(path, MAX_BYTES))
        header = ScoresHeader.model_validate_json(json.dumps(recorded.pop("header")))
    except FileNotFoundError:
        raise GgezError(
            f"{folder} has no {SCORES}", "`ggez-hub humans score DIR` writes it."
        ) from None
    except ValidationError as error:
        raise GgezError(f"the header of {path} is not valid:\n{listed(error)}") from error
    except KeyError as error:
        raise GgezError(f"{path} has no header") from error
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise GgezError(f"{path} cannot be read: {error}") from error
    ratings = read_ratings(folder / RATINGS)
    digest = sha256_file(folder / RATINGS)
    problems: tuple[str, ...] = ()
    if digest != header.sha256:
        problems = (
            f"{RATINGS} has the sha256 {digest[:16]}…, recorded is {header.sha256[:16]}…: it was changed",
        )
    return PeopleScores(
        folder, header, ratings, recorded, finite(scores(header, ratings)), problems
    )
