"""The tasks by which the registry measures a contribution, by family and base, and how many items they ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from ggez_hub.cards import AdapterCard
from ggez_hub.cards.measurements import ClosedRule
from ggez_hub.cards.values import RepoId
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.benchmark import Benchmark, find_benchmarks
from ggez_hub.evaluation.benchmarks.preparation import is_asked, require_both_sides
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.parity.power import difference_seen, sample_size
from ggez_hub.recipe_file import read_recipe, recipes_folder
from ggez_hub.regions import Region, find_region
from ggez_hub.registry.adapter_kinds import get_kind
from ggez_hub.registry.local_merge.inputs import REPOSITORY
from ggez_hub.registry.task_data import AnyTask, find_tasks
from ggez_hub.validation_errors import written_as

RECIPE = "evaluation.yaml"
# A model that is taken as it is, beside its base.
AS_IS_BETAS = (0.0, 1.0)


class SideSample(FrozenModel, strict=False):
    """What one side of a suite has to show of each task, by a paired two-sided test at 5 % with 80 % power.

    difference  in points, between the base and a merged model
    variance    of one picture's difference; of right and wrong answers the share of pictures of which
                one of the two models alone is right. It is assumed
    """

    difference: float = Field(gt=0, lt=100)
    variance: float = Field(gt=0, le=1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.difference > 100 * self.variance:
            raise ValueError("variance must be at least difference / 100")
        return self

    @property
    def items(self) -> int:
        """The items of the test side that show it, of different pictures."""
        return sample_size(self.difference, self.variance)

    def seen_with(self, items: int) -> float | None:
        """The difference that so many items show; None for too few."""
        return difference_seen(items, self.variance)


class SuiteSample(FrozenModel, strict=False):
    """The sample of each task by its side."""

    world: SideSample = Field(alias="global")
    regional: SideSample

    def of(self, task: AnyTask) -> SideSample:
        return self.regional if task.side == "regional" else self.world


class Suite(FrozenModel, strict=False):
    """How contributions on some bases are measured.

    bases     the repositories, with `*`; the first suite of a family that fits is taken
    tasks     folders of tasks below recipes/, or built-in suites
    methods   how a model is asked multiple choice; every way that its family knows if left out
    judge     who judges what is drawn: a repository of the Hub, REPO@REVISION
    pictures  a data set with pictures that data sets name by address, each file named by the sha256 of
              its address; where it is not on the hub, these pictures are missing
    sample    how many items of a task are asked; all if left out
    """

    bases: list[str] = Field(default=["*"], min_length=1)
    tasks: list[str] = Field(min_length=1)
    betas: list[float] = Field(min_length=2)
    methods: list[str] | None = Field(default=None, min_length=1)
    judge: (
        Annotated[
            str,
            written_as(
                f"^{REPOSITORY.pattern}$", "a repository, with or without a revision: org/name@main"
            ),
        ]
        | None
    ) = None
    pictures: RepoId | None = None
    sample: SuiteSample | None = None

    def fits(self, base: str) -> bool:
        return any(fnmatchcase(base, pattern) for pattern in self.bases)

    def sampled(self, task: AnyTask) -> AnyTask:
        """A benchmark with the sample of its side; the registry's own tasks ask all."""
        if self.sample is None or not isinstance(task, Benchmark):
            return task
        return task.model_copy(update={"sample": self.sample.of(task).items})


class EvaluationRecipe(FrozenModel, strict=False):
    """recipes/evaluation.yaml: for each family that can be measured its suites, by base.

    safety  family -> the suite of safety that is asked beside its own
    closed  the part of the test side whose answers are not published; none if left out
    """

    kind: str
    suites: Mapping[str, Annotated[list[Suite], Field(min_length=1)]]
    safety: Mapping[str, str] = Field(default_factory=dict)
    closed: ClosedRule | None = None


def suite_of(card: AdapterCard) -> tuple[Suite, tuple[AnyTask, ...]]:
    """The suite and tasks by which the registry measures `card`.

    Raises GgezError if there are none, and UsageProblem where a side has no task.
    """
    suites = _recipe().suites.get(card.family, ())
    suite = next((suite for suite in suites if suite.fits(card.base.repo)), None)
    if suite is None:
        what = f"the base {card.base.repo}" if suites else f"the family {card.family}"
        raise GgezError(
            f"the registry has no tasks for {what}",
            f"Add a suite to recipes/{RECIPE}; until then the adapter stays {card.level}.",
        )
    region = find_region(card.region)
    tasks = tuple(suite.sampled(task) for task in _tasks(suite.tasks) if _may_ask(task, region))
    require_both_sides((task.side for task in tasks), region)
    return suite, tasks


def safety_of(card: AdapterCard) -> tuple[Benchmark, ...]:
    """The tasks of safety that are asked beside those of `suite_of`; none for some families."""
    suite = _recipe().safety.get(card.family)
    return () if suite is None else find_benchmarks(suite)


def betas_of(suite: Suite, card: AdapterCard) -> list[float]:
    """The grid of a card: 0 and the suite's betas, or of a model that is taken as it is 0 and 1."""
    return sorted({0.0, *(suite.betas if get_kind(card.kind).combined else AS_IS_BETAS)})


def closed_rule() -> ClosedRule | None:
    """The rule for pictures of the test side whose answers are not published; None without one."""
    return _recipe().closed


def task_counts(recipes: Path) -> dict[str, int]:
    """How many tasks a registry has for each family; raises BadRecipe, and GgezError for none."""
    return {
        family: sum(len(_tasks(suite.tasks, recipes)) for suite in suites)
        for family, suites in _recipe(recipes).suites.items()
    }


def _tasks(suites: Sequence[str], recipes: Path | None = None) -> list[AnyTask]:
    """The tasks of folders below recipes/ and of built-in suites."""
    folders = [(recipes or recipes_folder()) / suite for suite in suites]
    names = zip(suites, folders, strict=True)
    return find_tasks([str(folder) if folder.is_dir() else suite for suite, folder in names])


def _may_ask(task: AnyTask, region: Region) -> bool:
    """Whether a task may have items of the region: the country of an item is known once it is read."""
    if not isinstance(task, Benchmark) or task.side == "global":
        return is_asked(task, region)
    return any({*find_region(name).members} & {*region.members} for name in task.regions)


def _recipe(recipes: Path | None = None) -> EvaluationRecipe:
    return read_recipe((recipes or recipes_folder()) / RECIPE, "evaluation", EvaluationRecipe)
