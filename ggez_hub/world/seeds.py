"""How far other seeds are: base and adapter trained anew with each, and measured as the card is.

`build --seed` trains; what is measured here of the folders that it wrote is kept in `seeds.json`
beside the family's models, and stands on the adapter's card.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ggez_hub.cards import CurveRow
from ggez_hub.cards.curve import MeasuredCurve, Rows
from ggez_hub.evaluation.grid import Progress
from ggez_hub.evaluation.identity import Model
from ggez_hub.families import get_family
from ggez_hub.regions import find_region
from ggez_hub.world.card_of_record import record_of
from ggez_hub.world.parts import Part
from ggez_hub.world.place import Place, lies_in
from ggez_hub.world.prose import words_of
from ggez_hub.world.records import write_json

# Whose seeds are measured.
ADAPTER = "th"


def measure_seeds(
    assets: Path,
    part: Part,
    built: Sequence[Path],
    evaluator: str,
    progress: Progress | None = None,
) -> None:
    """Measure base and `th` of every folder, and write their curves, each when it is known.

    What the models are asked lies in `assets`, whatever was built beside them. A seed that was
    measured before is measured again.
    """
    place, words = Place(assets, part), words_of(part)
    found = _read(_path(place)) if _path(place).is_file() else {}
    for folder in built:
        other = Place(folder, part)
        model = Model(other.base, (other.adapter(ADAPTER),), get_family(part.family))
        answered = words.ask(
            model, lies_in(assets), find_region(ADAPTER), words.betas, progress=progress
        )
        seed = record_of(other.adapter(ADAPTER))["seed"]
        found[seed] = {
            beta: {key: row for key, row in rows.items() if row.scale == answered.scale}
            for beta, rows in answered.rows(evaluator, "unknown").items()
        }
        _write(place, found)


def read_seeds(place: Place, name: str) -> dict[int, MeasuredCurve]:
    """Seed -> curve of an adapter; none where none was measured."""
    path = _path(place)
    if name != ADAPTER or not path.is_file():
        return {}
    return {seed: MeasuredCurve(rows, "independent", name) for seed, rows in _read(path).items()}


def _read(path: Path) -> dict[int, Rows]:
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {
        int(seed): {
            beta: {key: CurveRow.model_validate(row) for key, row in rows.items()}
            for beta, rows in curve.items()
        }
        for seed, curve in stored["curves"].items()
    }


def _write(place: Place, curves: Mapping[int, Rows]) -> None:
    stored = {
        str(seed): {
            beta: {
                key: row.model_dump(mode="json", exclude_defaults=True) for key, row in rows.items()
            }
            for beta, rows in curve.items()
        }
        for seed, curve in sorted(curves.items())
    }
    write_json(_path(place), {"adapter": ADAPTER, "curves": stored})


def _path(place: Place) -> Path:
    return place.family / "seeds.json"
