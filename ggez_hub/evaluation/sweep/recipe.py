"""The recipe of a sweep: what is measured, and at which points of the grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, field_validator

from ggez_hub.cards.values import UNKNOWN, PolicyName, Unknown
from ggez_hub.errors import UsageProblem
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.parity.betas import Beta, base_like, beta_key, point
from ggez_hub.quantities import counted
from ggez_hub.recipe_file import BadRecipe

# The grid of a LoRA; a full fine-tune is strong already at small betas.
BETAS: tuple[float, ...] = (0, 0.25, 0.5, 0.75, 1, 1.25)
FINETUNE_BETAS: tuple[float, ...] = (0, 0.05, 0.1, 0.25, 0.5, 0.75, 1)
# The keys that name something here or on a hub, and those that always name something here.
NAMES, PLACES = ("base", "adapter", "tasks", "judge", "joint"), ("data", "pictures", "parts")
# Every point is an evaluation: two adapters on the default grid are 36, three are 216.
MOST = 64
# The keys that may say `unknown`, as those of a paper's models do.
MAY_BE_UNKNOWN = ("base", "adapter", "tasks", "judge")

TrainedOn: TypeAlias = list[str] | Unknown


class SweepRecipe(FrozenModel):
    """The keys of a recipe of `kind: sweep`.

    base, adapter  a folder (relative to the recipe), or `org/name@revision` of a hub; of `adapter` a
                   list for a composition, in the order of its betas
    tasks          a folder of task files, relative to the recipe, or a built-in suite; or several
    data           a folder with the tasks' data set, or with several as OWNER/NAME; fetched from
                   the hub if left out
    pictures       a folder with pictures that a data set names by address
    judge          who judges what the pictures of a model that draws show: a folder or a
                   repository
    methods        how a model is asked multiple choice; every way that its family knows if left out
    betas          for every adapter (0 to 1.25 of LoRAs, to 1 and closer at the beginning of full
                   fine-tunes, if left out), or for a composition a list for each of them: then every
                   combination is measured
    combinations   instead of them: the betas of each point of a composition
    limit          how many points a composition may have (64)
    parts          a file of betas by part, relative to the recipe, or several: for each of them the
                   grid is measured once more, multiplied by its `times` and `tilt`
    trained_on     the data sets behind the adapters, for the leakage check; those of their cards if
                   left out
    alpha          instead of KOF's for the region
    policy         by which beta is chosen: `parity` (the highest GRP), or `keep` or `keep=0.95` (the
                   highest of the betas that keep this share of the scores outside the region)
    joint          another adapter on the same base, of a joint fine-tune of equal cost: measured at
                   beta 1 as a baseline
    """

    kind: Literal["sweep"]
    region: str
    family: str
    base: str
    adapter: str | Annotated[list[str], Field(min_length=1)]
    tasks: str | list[str]
    data: str | None = None
    pictures: str | None = None
    judge: str | None = None
    methods: list[str] | None = Field(default=None, min_length=1)
    betas: list[float] | list[list[float]] | None = Field(default=None, min_length=1)
    combinations: list[list[float]] | None = Field(default=None, min_length=1)
    limit: int | None = Field(default=None, ge=1)
    parts: str | Annotated[list[str], Field(min_length=1)] | None = None
    alpha: float | None = Field(default=None, ge=0, le=1)
    policy: PolicyName = "parity"
    trained_on: TrainedOn | None = None
    joint: str | None = None

    @field_validator("betas", "combinations", mode="before")
    @classmethod
    def _numbers(cls, betas: object) -> object:
        # YAML reads 0 and 1 as whole numbers.
        if isinstance(betas, list):
            return [cls._numbers(beta) for beta in betas]
        return float(betas) if type(betas) is int else betas

    @property
    def parts_files(self) -> tuple[str, ...]:
        return (self.parts,) if isinstance(self.parts, str) else tuple(self.parts or ())

    @property
    def adapters(self) -> tuple[str, ...]:
        return (self.adapter,) if isinstance(self.adapter, str) else tuple(self.adapter)

    def points(self, *, finetunes: bool = False) -> tuple[Beta, ...]:
        """What is measured; raises UsageProblem for what is not a grid of so many adapters.

        Where the recipe names no betas, the grid is that of LoRAs, or of full fine-tunes.
        """
        if self.betas is not None and self.combinations is not None:
            raise UsageProblem("`betas` and `combinations` are two grids", "Give one of them.")
        betas = self.betas or list(FINETUNE_BETAS if finetunes else BETAS)
        return grid_points(len(self.adapters), betas, self.combinations, self.limit)

    def placed(self, folder: Path) -> Self:
        """The same with absolute paths of what is on this machine, relative to `folder`."""

        def place(key: str, named: str) -> str:
            here = folder.absolute() / named
            return str(here) if key in PLACES or here.exists() else named

        return self.model_copy(
            update={
                key: [place(key, each) for each in value]
                if isinstance(value, list)
                else place(key, value)
                for key in (*NAMES, *PLACES)
                if (value := getattr(self, key)) is not None
            }
        )

    @property
    def local(self) -> tuple[Path, ...]:
        """What absolute paths name."""
        values = [getattr(self, key) for key in (*NAMES, *PLACES)]
        names = [n for v in values for n in (v if isinstance(v, list) else [v]) if n is not None]
        return tuple(dict.fromkeys(path for path in map(Path, names) if path.is_absolute()))

    @property
    def blanks(self) -> tuple[str, ...]:
        """The keys that have to be filled in before the recipe can be run."""
        values = {key: getattr(self, key) for key in MAY_BE_UNKNOWN}
        return tuple(
            key
            for key, value in values.items()
            if UNKNOWN in (value if isinstance(value, list) else [value])
        )

    def require_filled_in(self, path: Path) -> None:
        """Raise BadRecipe where something is left open."""
        if self.blanks:
            raise BadRecipe(
                f"{path} leaves open: {', '.join(self.blanks)}",
                "Copy it, and write what you mean in place of `unknown`; its comments say what is known.",
            )


def grid_points(
    adapters: int,
    betas: Sequence[float] | Sequence[Sequence[float]],
    combinations: Sequence[Sequence[float]] | None = None,
    limit: int | None = None,
) -> tuple[Beta, ...]:
    """The points of a grid, the smallest first, with the base among them.

    betas         for every adapter, or a list for each of them; of several the product is taken
    combinations  the points themselves, a list with one beta for each adapter, in place of it
    limit         how many points the product may have

    Raises UsageProblem for what fits not the number of adapters, a product of more than `limit` points,
    or of more than 64 where no limit is said.
    """
    if combinations is not None:
        if adapters < 2:
            raise UsageProblem("combinations are of several adapters", "One adapter takes `betas`.")
        found = [tuple(each) for each in combinations]
    else:
        lists: list[Sequence[float]] = [each for each in betas if isinstance(each, Sequence)]
        numbers = [each for each in betas if not isinstance(each, Sequence)]
        if lists and (numbers or len(lists) != adapters or not all(lists)):
            raise UsageProblem(
                f"`betas` are numbers for every adapter, or {adapters} lists, one for each adapter"
            )
        each_beta = lists or [numbers] * adapters
        sizes = [len(set(own)) for own in each_beta]
        count = math.prod(sizes)
        if adapters > 1 and count > (limit or MOST):
            raise UsageProblem(
                f"{' x '.join(map(str, sizes))} betas are {counted(count, 'point')}, each an evaluation of its "
                "own; "
                + (f"the limit is {limit}" if limit else f"more than {MOST} need a `limit`"),
                "Give fewer `betas`, name the points as `combinations`, or raise `limit`.",
            )
        found = list(product(*each_beta))
    if wrong := [each for each in found if len(each) != adapters]:
        raise UsageProblem(
            f"{list(wrong[0])} are not the betas of {adapters} adapters",
            "Give one for each, in the order of the adapters.",
        )
    points = {point(each) for each in found}
    for each in points:
        beta_key(each)
    return tuple(sorted({base_like(next(iter(points))), *points}))
