"""A sweep over beta: base, regional and merged models measured without writing a merged model.

`measure` keeps one copy of the model in memory and recomputes the tensors that the adapter touches
from base and Delta. What is answered is kept in the results folder after each beta, so that a run
that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ggez_hub.cards import AlphaRecord
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.evidence import Evidence
from ggez_hub.evaluation.grid import Progress, measure
from ggez_hub.evaluation.identity import beta_key, model_digests
from ggez_hub.evaluation.leakage import refuse_leaks
from ggez_hub.evaluation.outcomes import Cell, Outcomes
from ggez_hub.evaluation.predictions import read_predictions, write_predictions
from ggez_hub.evaluation.results import write_results
from ggez_hub.evaluation.task import SplitName, Task
from ggez_hub.families import Family
from ggez_hub.regions import Region
from ggez_hub.weights import digest_json, sha256_file

# The grid of a LoRA; a full fine-tune is strong already at small betas.
BETAS: tuple[float, ...] = (0, 0.25, 0.5, 0.75, 1, 1.25)
FINETUNE_BETAS: tuple[float, ...] = (0, 0.05, 0.1, 0.25, 0.5, 0.75, 1)
WORK = ".answers"

TrainedOn: TypeAlias = list[str] | Literal["unknown"]


class SweepRecipe(BaseModel):
    """The keys of a recipe of `kind: sweep`.

    base, adapter  a folder (relative to the recipe), or `org/name@revision` of a hub
    tasks          a folder of task files, relative to the recipe
    data           a folder with the tasks' data set; fetched from the hub if left out
    trained_on     the data sets behind the adapter, for the leakage check; those of its card if
                   left out
    alpha          instead of KOF's for the region
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: Literal["sweep"]
    region: str
    family: str
    base: str
    adapter: str
    tasks: str
    data: str | None = None
    betas: list[float] = Field(default=list(BETAS), min_length=1)
    alpha: float | None = Field(default=None, ge=0, le=1)
    trained_on: TrainedOn | None = None

    @field_validator("betas", mode="before")
    @classmethod
    def _numbers(cls, betas: object) -> object:
        # YAML reads 0 and 1 as whole numbers.
        if isinstance(betas, list):
            return [float(b) if isinstance(b, int) else b for b in betas]
        return betas


@dataclass(frozen=True)
class Place:
    """Where the inputs of a sweep lie on this machine."""

    base: Path
    adapter: Path
    data: Path


def tasks_for(tasks: Sequence[Task], region: Region) -> tuple[Task, ...]:
    """The global tasks, and the regional ones whose items are of the region; raises UsageProblem."""
    chosen = tuple(t for t in tasks if t.side == "global" or set(t.regions) <= set(region.members))
    if {t.side for t in chosen} != {"global", "regional"}:
        raise UsageProblem(
            f"the tasks have no items of {region.id} and of the world beside it",
            "Parity needs a global and a regional task.",
        )
    return chosen


def sweep(
    place: Place,
    family: Family,
    tasks: Sequence[Task],
    region: Region,
    alpha: AlphaRecord,
    out: Path,
    *,
    betas: Sequence[float] = BETAS,
    trained_on: Sequence[str] | Literal["unknown"] = "unknown",
    measured_by: Literal["self", "registry"] = "self",
    evaluator: str = "unknown",
    progress: Progress | None = None,
) -> Evidence:
    """Measure every task at every beta and write a results folder `out`.

    A folder that holds a part of this very sweep is completed, one that holds all of it is measured
    no more. Raises Leaked for a task that the adapter was trained on, UsageProblem for a folder
    with something else, and what `measure` raises.
    """
    refuse_leaks({t.id: t.dataset.repo for t in tasks}, trained_on)
    ordered = sorted({0.0, *betas})
    models = model_digests(place.base, place.adapter, family, ordered)
    key = digest_json(
        {
            "models": models,
            "tasks": {t.id: t.digest for t in tasks},
            "data": _data(tasks, place.data),
        }
    )
    if out.exists() and not (out / WORK / key).is_dir():
        raise UsageProblem(
            f"{out} holds something else than this sweep",
            "Choose another folder with -o: nothing there is overwritten.",
        )
    kept = _Kept(out / WORK / key)
    kept.folder.mkdir(parents=True, exist_ok=True)
    measured = measure(
        place.base,
        place.adapter,
        family,
        tasks,
        place.data,
        ordered,
        splits=_splits(tasks),
        progress=progress,
        answers=kept,
        details=True,
    )
    header = {
        "region": region.id,
        "alpha": alpha,
        "tasks": measured.records(),
        "data": trained_on if trained_on == "unknown" else list(trained_on),
        "measured_by": measured_by,
        "evaluator": evaluator,
        "models": dict(measured.models),
    }
    return write_results(out, header, measured.outcomes)


@dataclass(frozen=True)
class _Kept:
    """Answers as one predictions file for each beta."""

    folder: Path

    def load(self, beta: float) -> Mapping[Cell, Outcomes] | None:
        path = self._path(beta)
        return read_predictions(path) if path.is_file() else None

    def save(self, beta: float, outcomes: Mapping[Cell, Outcomes]) -> None:
        # Written beside and renamed: a file that is there is whole.
        write_predictions(self._path(beta), outcomes)

    def _path(self, beta: float) -> Path:
        return self.folder / f"{beta_key(beta)}.parquet"


def _splits(tasks: Sequence[Task]) -> tuple[SplitName, ...]:
    """The splits that every task has."""
    shared = set.intersection(*(set(task.splits) for task in tasks))
    names: tuple[SplitName, ...] = ("validation", "test")
    return tuple(name for name in names if name in shared)


def _data(tasks: Sequence[Task], folder: Path) -> dict[str, str]:
    paths = {path for task in tasks for path in task.splits.values()}
    return {path: sha256_file(folder / path) for path in sorted(paths) if (folder / path).is_file()}
