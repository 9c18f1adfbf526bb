"""Where a measurement came from: enough to have some of its answers given again.

Folders stand there relative to the results folder: who moves both together moves nothing apart, and
no results tell where somebody's home is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import Field, StringConstraints

from ggez_hub.cards.values import RepoId
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.benchmarks.benchmark import Benchmark
from ggez_hub.evaluation.benchmarks.drawing_task import DrawingTask
from ggez_hub.evaluation.benchmarks.task import Task, parse
from ggez_hub.frozen_model import FrozenModel

Commit: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Text: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
# The kinds of task files, by what they say of themselves.
KINDS: dict[str, type[FrozenModel]] = {"benchmark": Benchmark, "task": Task, "drawing": DrawingTask}


class InRepo(FrozenModel):
    """A repository of a hub, at a commit."""

    repo: RepoId
    revision: Commit

    def named(self, results: Path) -> str:
        """As it is named to a command."""
        del results
        return f"{self.repo}@{self.revision}"


class InFolder(FrozenModel):
    """A folder or a file of somebody's machine, relative to the results folder."""

    folder: Text

    @classmethod
    def of(cls, place: Path, results: Path) -> InFolder:
        """A place on this machine."""
        return cls(folder=Path(os.path.relpath(place.resolve(), results.resolve())).as_posix())

    def named(self, results: Path) -> str:
        """As it is named to a command; raises UsageProblem where nothing is there."""
        place = results.resolve() / self.folder
        if not place.exists():
            raise UsageProblem(
                f"what was measured lay in {os.path.normpath(place)}, where nothing is",
                "Put it there, or a link to it: only its digest has to be the same.",
            )
        return str(place.resolve())


class AtAddress(FrozenModel):
    """A model behind an endpoint, `http://HOST/v1#NAME`."""

    address: Text

    def named(self, results: Path) -> str:
        """As it is named to a command."""
        del results
        return self.address


Place: TypeAlias = InRepo | InFolder | AtAddress


def moved(place: Place, before: Path, results: Path) -> Place:
    """A place that stands relative to the results folder `before`, for another one."""
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
        """The tasks; raises BadTask."""
        return [
            parse(
                KINDS.get(str(entry.get("kind")), Task), f"task {number + 1} of the results", entry
            )
            for number, entry in enumerate(self.tasks)
        ]


def definition(task: FrozenModel) -> dict[str, Any]:
    """A task as a file would hold it, without what it leaves to a default."""
    return task.model_dump(mode="json", exclude_defaults=True)
