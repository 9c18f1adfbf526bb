"""A merge as a recipe: `kind: merge`, for `ggez-hub merge --recipe`.

    kind: merge
    base: google/siglip2-so400m-patch14-384@main   # or a folder, relative to the recipe
    adapters:
      - {adapter: ../lora, beta: 0.4}

A place is a path, relative to the recipe, if there is something, else `org/name@revision`: a
repository of a hub.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints

from ggez_hub.cards.values import Family, RegionId
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.merging.methods import METHODS, NAME

REPOSITORY = re.compile(
    r"^(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)@(?P<revision>\w[\w.-]*(/\w[\w.-]*)*)$",
    re.ASCII,
)

Place: TypeAlias = Annotated[str, StringConstraints(min_length=1)]


class WeightedAdapter(FrozenModel, strict=False):
    """An adapter, a folder, a file or a repository, and the weight that it gets.

    `betas` is a file of betas by part, relative to the recipe: see merging/betas_by_part.py.
    """

    adapter: Place
    beta: float = Field(ge=0, allow_inf_nan=False)
    betas: Place | None = None


def _known_method(name: str) -> str:
    if name not in METHODS:
        raise ValueError(f"must be one of {', '.join(METHODS)}")
    return name


class MergeRecipe(FrozenModel, strict=False):
    """theta_global + sum(beta * Delta), as the options of `merge`.

    `region` and `title` are for readers: they decide nothing.
    """

    kind: Literal["merge"]
    title: str | None = None
    region: RegionId | None = None
    family: Family | None = None
    base: Place
    variant: Annotated[str, StringConstraints(pattern=r"^\w+$")] | None = None
    adapters: list[WeightedAdapter] = Field(min_length=1)
    method: Annotated[str, AfterValidator(_known_method)] = NAME


def repository(place: str) -> tuple[str, str] | None:
    """The repository and the revision that a place names; None if it is written otherwise."""
    match = REPOSITORY.match(place)
    return (match["repo"], match["revision"]) if match else None
