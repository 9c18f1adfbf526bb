"""The header of a results folder: what decides its figures, and where the measurement came from.

Folders are relative to the results folder, so that both can be moved together, and results do not
show where somebody's home is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import Field, StringConstraints, model_validator

from ggez_hub.cards import AdapterCard, AlphaRecord
from ggez_hub.cards.measurements import ClosedPart
from ggez_hub.cards.values import (
    UNKNOWN,
    Adapts,
    FilePath,
    LanguageTag,
    PointKey,
    PolicyName,
    RegionId,
    RepoId,
    Sha256,
    Text,
    Unknown,
)
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.outcomes import TaskRecord
from ggez_hub.evaluation.benchmarks.benchmark import Benchmark
from ggez_hub.evaluation.benchmarks.task import DrawingTask, Task, parse
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.merging.betas_by_part import MOST_PARTS, BetasByPart, Part
from ggez_hub.parity.betas import betas_of, read_key
from ggez_hub.quantities import counted
from ggez_hub.validation_errors import written_as

PREDICTIONS = "predictions.parquet"
# What may be measured beside the grid; the answers of each are in a file of its name.
BaselineName: TypeAlias = Literal["average", "joint"]
BASELINE_NAMES: tuple[BaselineName, ...] = get_args(BaselineName)
Commit: TypeAlias = Annotated[str, written_as(r"^[0-9a-f]{40}$", "a commit: 40 hexadecimal digits")]
NotEmpty: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
# The kinds of task files, by what they say of themselves.
KINDS: dict[str, type[FrozenModel]] = {"benchmark": Benchmark, "task": Task, "drawing": DrawingTask}


class InRepo(FrozenModel):
    """A repository of a hub, at a commit."""

    repo: RepoId
    revision: Commit

    def named(self, results: Path) -> str:
        del results
        return f"{self.repo}@{self.revision}"


class InFolder(FrozenModel):
    """A folder or a file of somebody's machine, relative to the results folder."""

    folder: NotEmpty

    @classmethod
    def of(cls, place: Path, results: Path) -> InFolder:
        return cls(folder=Path(os.path.relpath(place.resolve(), results.resolve())).as_posix())

    def named(self, results: Path) -> str:
        """As it is named to a command; raises UsageProblem where nothing is there."""
        place = results.resolve() / self.folder
        if not place.exists():
            raise UsageProblem(
                f"what was measured is no longer at {os.path.normpath(place)}",
                "Put it there, or a link to it: only its digest has to be the same.",
            )
        return str(place.resolve())


class AtAddress(FrozenModel):
    """A model behind an endpoint, `http://HOST/v1#NAME`."""

    address: NotEmpty

    def named(self, results: Path) -> str:
        del results
        return self.address


Place: TypeAlias = InRepo | InFolder | AtAddress


def moved(place: Place, before: Path, results: Path) -> Place:
    """A place relative to the results folder `before`, made relative to another one."""
    return InFolder.of(before / place.folder, results) if isinstance(place, InFolder) else place


class Origin(FrozenModel):
    """What was measured and asked, and where it was found.

    model, adapters, judge   the base, what is on it, and who judges what it draws
    tasks     their definitions, as in files
    methods   how the model was asked
    data      a folder with the data sets; None where they are those of a hub
    pictures  a folder with pictures that a data set names by address
    commits   of the data sets of a hub: `repo@revision` as a task names it -> commit
    """

    model: Place
    adapters: list[Place] = Field(default_factory=list)
    judge: Place | None = None
    tasks: list[dict[str, Any]] = Field(min_length=1)
    methods: list[str]
    data: InFolder | None = None
    pictures: InFolder | None = None
    commits: dict[str, Commit] = Field(default_factory=dict)

    def definitions(self) -> list[FrozenModel]:
        """The tasks; raises GgezError."""
        return [
            parse(
                KINDS.get(str(entry.get("kind")), Task), f"task {number + 1} of the results", entry
            )
            for number, entry in enumerate(self.tasks)
        ]


def definition(task: FrozenModel) -> dict[str, Any]:
    """A task as a file would hold it, without what it leaves to a default."""
    return task.model_dump(mode="json", exclude_defaults=True)


class AdapterRecord(FrozenModel):
    """An adapter that was measured: what it was called, and the files that decide Delta.

    `region`, `languages` and `adapts` are those of its card.
    """

    name: Text
    region: RegionId | Unknown = UNKNOWN
    languages: list[LanguageTag] | Unknown = UNKNOWN
    adapts: Annotated[list[Adapts], Field(min_length=1)] | Unknown = UNKNOWN
    files: dict[FilePath, Sha256] = Field(min_length=1)

    @classmethod
    def of(cls, name: str, files: dict[str, str], card: AdapterCard | None) -> AdapterRecord:
        if card is None:
            return cls(name=name, files=files)
        return cls(
            name=name,
            region=card.region,
            languages=card.languages,
            adapts=card.adapts,
            files=files,
        )


class BaselineRecord(FrozenModel):
    """A baseline that was measured: its answers, what identifies the model, and whose it is.

    average  the mean of the normalised embeddings of base and adapter
    joint    another adapter on the same base, at beta 1, which `adapter` names
    """

    predictions: FilePath
    sha256: Sha256
    model: Sha256 | Unknown = UNKNOWN
    adapter: AdapterRecord | None = None


class SweptParts(FrozenModel):
    """The betas by part that a grid multiplies: the name and sha256 of their file, and its content."""

    name: Text
    sha256: Sha256
    parts: list[Part] = Field(min_length=1, max_length=MOST_PARTS)

    @property
    def rule(self) -> BetasByPart:
        return BetasByPart(parts=tuple(self.parts))


class Header(FrozenModel):
    """What decides the figures of a results folder, beside the predictions.

    `adapters` stand in the order of a point's betas, which `parts`, if there are any, multiply.

    `data` are the data sets that the adapter was trained on, as its card names them, and `held_out` those
    that its filter kept out of them. `digests` of a
    task are by split. `origin` decides nothing: it records where the answers can be computed again.
    `baselines` are those that were asked themselves; the switch follows from the predictions.
    `closed` is of the test answers that are in none of the files.
    """

    schema_version: Literal[1, 2] = 2
    region: RegionId
    alpha: AlphaRecord
    policy: PolicyName = "parity"
    tasks: dict[str, TaskRecord] = Field(min_length=1)
    data: list[str] | Unknown = UNKNOWN
    held_out: list[str] = Field(default_factory=list)
    measured_by: Literal["self", "registry"] = "self"
    evaluator: str = UNKNOWN
    adapters: list[AdapterRecord] = Field(default_factory=list)
    parts: SweptParts | None = None
    models: dict[PointKey, Sha256] = Field(default_factory=dict)
    baselines: dict[BaselineName, BaselineRecord] = Field(default_factory=dict)
    origin: Origin | None = None
    closed: ClosedPart | None = None
    predictions: FilePath = PREDICTIONS
    sha256: Sha256

    @model_validator(mode="after")
    def _a_beta_for_each(self) -> Header:
        for key in self.models:
            # What was measured before adapters were recorded, or without one, has none.
            if len(betas_of(read_key(key))) != (len(self.adapters) or 1):
                raise ValueError(
                    f"{key} are not the betas of {counted(len(self.adapters), 'adapter')}"
                )
        return self
