"""What the models answered, item by item, as it is kept in `results/`.

A folder for each family holds `gallery.csv` (the concepts that can be answered, in order, with the
side of each) and one `seed-N.npz` with the answers and `seed-N.json` with how they were trained.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESULTS = Path(__file__).parent / "results"

_MERGE = "merge "


def merge_name(beta: float) -> str:
    """How the merge at one beta is called among the models: `merge 0.3`."""
    return f"{_MERGE}{beta:g}"


def betas_of(models: Sequence[str]) -> tuple[float, ...]:
    """The betas of the merges among the models, in their order."""
    return tuple(float(m.removeprefix(_MERGE)) for m in models if m.startswith(_MERGE))


@dataclass(frozen=True)
class Candidate:
    """A concept that can be asked for and answered."""

    concept: str
    name: str
    side: str


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of one seed's models.

    question  (items,) the concept that is asked for, by its place in the gallery
    is_test   (items,) whether the item is test; otherwise it is validation
    answer    (models, items) the concept that is answered
    """

    models: tuple[str, ...]
    question: NDArray[np.uint16]
    is_test: NDArray[np.bool_]
    answer: NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class Seed:
    """One seed: its answers, and the record of its training."""

    number: int
    answers: Answers
    record: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Results:
    """All seeds of one family, which answer the same questions."""

    gallery: tuple[Candidate, ...]
    seeds: tuple[Seed, ...]

    @property
    def chance(self) -> float:
        """The score of a guesser."""
        return 1 / len(self.gallery)


def write_gallery(folder: Path, gallery: Sequence[Candidate]) -> None:
    """Write `gallery.csv`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "gallery.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["concept", "name", "side"])
        rows.writerows([c.concept, c.name, c.side] for c in gallery)


def write_seed(folder: Path, seed: Seed) -> None:
    """Write the two files of a seed."""
    found = seed.answers
    np.savez_compressed(
        folder / f"seed-{seed.number}.npz",
        models=np.array(found.models),
        question=found.question,
        is_test=found.is_test,
        answer=found.answer,
    )
    text = json.dumps(seed.record, indent=1)
    (folder / f"seed-{seed.number}.json").write_text(text + "\n", encoding="utf-8")


def read_results(folder: Path) -> Results:
    """What was kept of a family; raises FileNotFoundError where nothing was."""
    with (folder / "gallery.csv").open(encoding="utf-8", newline="") as file:
        gallery = tuple(Candidate(**row) for row in csv.DictReader(file))
    seeds = sorted(
        (_read_seed(path) for path in folder.glob("seed-*.npz")), key=lambda seed: seed.number
    )
    return Results(gallery, tuple(seeds))


def _read_seed(path: Path) -> Seed:
    with np.load(path, allow_pickle=False) as stored:
        answers = Answers(
            tuple(stored["models"].tolist()),
            stored["question"],
            stored["is_test"],
            stored["answer"],
        )
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return Seed(int(path.stem.removeprefix("seed-")), answers, record)
