"""How far other seeds are: base and adapter trained anew with each, and measured as the card is.

`build --seed` trains; what is measured here of the folders that it wrote is kept in `seeds.json`
beside the family's models, its answers beside the adapter's card, and stands on that card.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from demo_world.card_text import text_of_family
from demo_world.training_records import record_of, write_json
from ggez_hub.cards import CurveRow
from ggez_hub.cards.curve import MeasuredCurve, Rows, Split
from ggez_hub.cards.measurements import SeedRun, SeedSides
from ggez_hub.cards.schema import alpha_record
from ggez_hub.demo.questions import DemoAnswers
from ggez_hub.demo.world import DemoFamily, FamilyFolders, find_in
from ggez_hub.evaluation.answers.outcomes import Details, Outcomes
from ggez_hub.evaluation.answers.predictions import write_predictions
from ggez_hub.evaluation.models.model_under_test import StoredModel
from ggez_hub.evaluation.sweep.run import Progress
from ggez_hub.families import get_family
from ggez_hub.parity.seeds import seed_sides
from ggez_hub.regions import alpha, find_region

# Whose seeds are measured.
ADAPTER = "th"


@dataclass(frozen=True)
class _Kept:
    """What is kept of a seed: its rows, and what a card records of its sides."""

    rows: Rows
    sides: Mapping[Split, SeedSides]


def measure_seeds(
    assets: Path,
    part: DemoFamily,
    built: Sequence[Path],
    evaluator: str,
    progress: Progress | None = None,
) -> None:
    """Measure base and `th` of every folder, and write curves and answers, each when it is known.

    The questions are those of `assets`, whatever was built beside the models. A seed that was
    measured before is measured again.
    """
    place, questions = FamilyFolders(assets, part), text_of_family(part).questions
    found = _read(_path(place)) if _path(place).is_file() else {}
    region = find_region(ADAPTER)
    for folder in built:
        other = FamilyFolders(folder, part)
        model = StoredModel(other.base, (other.adapter(ADAPTER),), get_family(part.family))
        answered = _compact(
            questions.ask(model, find_in(assets), region, questions.betas, progress=progress)
        )
        seed = record_of(other.adapter(ADAPTER))["seed"]
        answers = place.adapter(ADAPTER) / "evidence" / f"seed-{seed}.parquet"
        sha256 = write_predictions(answers, answered.outcomes)
        measured = answered.measured(evaluator, sha256, region.id, alpha_record(alpha(region)))
        found[seed] = _Kept(measured.rows, seed_sides(measured))
        _write(place, found)


def read_seeds(place: FamilyFolders, name: str) -> dict[int, MeasuredCurve]:
    """Seed -> curve of an adapter; none where none was measured."""
    path = _path(place)
    if name != ADAPTER or not path.is_file():
        return {}
    return {
        seed: MeasuredCurve(kept.rows, "independent", name) for seed, kept in _read(path).items()
    }


def seed_runs(place: FamilyFolders, name: str) -> list[SeedRun]:
    """The seeds of an adapter as its card records them."""
    path = _path(place)
    if name != ADAPTER or not path.is_file():
        return []
    return [_run(seed, kept, name) for seed, kept in _read(path).items()]


def _compact(answered: DemoAnswers) -> DemoAnswers:
    """The tasks that decide, without what no score rests on."""
    outcomes = {
        cell: replace(found, details=found.details and _pictures(found))
        for cell, found in answered.outcomes.items()
        if answered.records[cell.task].scale == answered.scale
    }
    return replace(answered, outcomes=outcomes)


def _pictures(outcomes: Outcomes) -> Details:
    details = outcomes.details
    assert details is not None  # noqa: S101 - the caller has looked
    blank = Details.of(len(outcomes))
    return replace(blank, images=details.images, countries=details.countries)


def _run(seed: int, kept: _Kept, region: str) -> SeedRun:
    rows = [row for tasks in kept.rows.values() for row in tasks.values()]
    (predictions,) = {row.predictions for row in rows}
    models = {beta: next(iter(tasks.values())).model for beta, tasks in kept.rows.items()}
    unknown = len(set(models.values())) < len(models)
    return SeedRun(
        seed=seed,
        models="unknown" if unknown else models,
        predictions=predictions,
        sides=dict(kept.sides) or seed_sides(MeasuredCurve(kept.rows, "independent", region)),
    )


def _read(path: Path) -> dict[int, _Kept]:
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    sides = stored.get("sides", {})
    return {
        int(seed): _Kept(
            {
                beta: {key: CurveRow.model_validate(row) for key, row in rows.items()}
                for beta, rows in curve.items()
            },
            {
                split: SeedSides.model_validate(found)
                for split, found in sides.get(seed, {}).items()
            },
        )
        for seed, curve in stored["curves"].items()
    }


def _write(place: FamilyFolders, found: Mapping[int, _Kept]) -> None:
    curves = {
        str(seed): {
            beta: {
                key: row.model_dump(mode="json", exclude_defaults=True) for key, row in rows.items()
            }
            for beta, rows in kept.rows.items()
        }
        for seed, kept in sorted(found.items())
    }
    sides = {
        str(seed): {split: found.model_dump(mode="json") for split, found in kept.sides.items()}
        for seed, kept in sorted(found.items())
        if kept.sides
    }
    write_json(_path(place), {"adapter": ADAPTER, "curves": curves, "sides": sides})


def _path(place: FamilyFolders) -> Path:
    return place.family / "seeds.json"
