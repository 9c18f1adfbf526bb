"""The demo's figures, recomputed from pictures and not read from the card.

The global side are English names, the regional side names in the region's languages: the figures
measure language, not culture, and a demo parity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.cards import alpha_record
from ggez_hub.cards.curve import SPLITS
from ggez_hub.demo.questions import DemoAnswers, questions_of
from ggez_hub.demo.world import DemoFamily, FindFolder
from ggez_hub.evaluation.answers.outcomes import Cell, Outcomes
from ggez_hub.evaluation.answers.scores import Score, mean, parity, parity_difference, score_of
from ggez_hub.evaluation.models.model_under_test import StoredModel
from ggez_hub.evaluation.results.measured_curve import NOBODY
from ggez_hub.evaluation.sweep.run import Progress
from ggez_hub.families import get_family
from ggez_hub.parity.beta_choice import select_beta
from ggez_hub.parity.intervals import Interval
from ggez_hub.quantities import counted
from ggez_hub.regions import Alpha, Region


@dataclass(frozen=True)
class FigureRow:
    """The model at one beta on test: the score of each side, and parity above chance."""

    beta: float
    english: Interval
    regional: Interval
    grp: Interval


@dataclass(frozen=True)
class Rival:
    """Another of the three models, and how far the best is ahead of it in GRP, item by item."""

    label: str
    lead: Interval


@dataclass(frozen=True, eq=False)
class DemoFigures:
    """The figures of a family that the demo prints.

    languages  names those of the regional side
    validated  the beta that validation chooses again; None where it was not asked
    others     scores in other metrics on test: title -> beta -> score
    answers    given again that the adapter's evidence holds too; `equal` of them came out equal
    merged_equal  whether the merged folder, loaded from disk, answers every test question as
                  base + beta * Delta does
    """

    languages: str
    rows: tuple[FigureRow, ...]
    beta: float
    validated: float | None
    best: str
    rivals: tuple[Rival, ...]
    others: Mapping[str, Mapping[float, Score]]
    answers: int
    equal: int
    merged_equal: bool


@dataclass(frozen=True)
class Folders:
    """Base and adapter as fetched, the merged model as pulled, and the folders of the data."""

    base: Path
    adapter: Path
    merged: Path
    find: FindFolder


def recompute(
    folders: Folders,
    part: DemoFamily,
    region: Region,
    alpha: float,
    beta: float,
    evidence: Mapping[Cell, Outcomes],
    betas: tuple[float, ...] | None = None,
    progress: Progress | None = None,
) -> DemoFigures:
    """Ask the base, the merge, the unmerged adapter and the merged folder again.

    If every question is asked, the rest of the grid too (`betas`, or that of its cards), and on
    validation.
    """
    questions, family = questions_of(part), get_family(part.family)
    grid = (questions.betas if betas is None else betas) if part.complete else ()
    betas = tuple(sorted({*grid, 0.0, beta, 1.0}))
    splits = SPLITS if part.complete else ("test",)
    found = questions.ask(
        StoredModel(folders.base, (folders.adapter,), family),
        folders.find,
        region,
        betas,
        splits,
        complete=part.complete,
        progress=progress,
    )
    loaded = questions.ask(
        StoredModel(folders.merged, (), family),
        folders.find,
        region,
        (0.0,),
        ("test",),
        complete=part.complete,
    )
    sides = {b: found.sides(b) for b in betas}
    models = {"base": 0.0, "merged": beta, "unmerged": 1.0}
    parities = {name: parity(sides[b], alpha).value for name, b in models.items()}
    best = max(models, key=lambda name: (parities[name], name == "base"))
    known = [(found.outcomes[cell], evidence[cell]) for cell in found.outcomes if cell in evidence]
    return DemoFigures(
        languages=_languages(found),
        rows=tuple(
            FigureRow(b, mean(s.global_tasks), mean(s.regional_tasks), parity(s, alpha))
            for b, s in sides.items()
        ),
        beta=beta,
        validated=_validated(found, region, alpha) if "validation" in splits else None,
        best=best,
        rivals=tuple(
            Rival(name, parity_difference(sides[models[best]], sides[b], alpha))
            for name, b in models.items()
            if b != models[best]
        ),
        others={
            found.titles[name]: {
                b: score_of(found.outcomes[Cell(b, name, "test")]) for b in models.values()
            }
            for name, record in found.records.items()
            if record.scale != found.scale
        },
        answers=sum(len(now) for now, _ in known),
        equal=sum(_equal(now, then) for now, then in known),
        merged_equal=all(
            found.outcomes[cell._replace(beta=beta)].predicted == outcomes.predicted
            for cell, outcomes in loaded.outcomes.items()
        ),
    )


def _validated(found: DemoAnswers, region: Region, alpha: float) -> float:
    factor = alpha_record(Alpha.from_user(alpha, region))
    measured = found.measured("demo", NOBODY, region.id, factor)
    return select_beta(measured, alpha, region.id).beta


def _languages(found: DemoAnswers) -> str:
    """The one language of the regional side in English, or how many there are."""
    from babel import Locale

    tags = sorted({r.language for r in found.records.values() if r.side == "regional"})
    if len(tags) > 1:
        return f"regional ({counted(len(tags), 'language')})"
    return str(Locale.parse(tags[0], sep="-").get_display_name("en"))


def _equal(now: Outcomes, then: Outcomes) -> int:
    """How many answers are those that were recorded."""
    recorded = dict(zip(then.items, then.predicted, strict=True))
    return sum(
        recorded.get(item) == said for item, said in zip(now.items, now.predicted, strict=True)
    )
