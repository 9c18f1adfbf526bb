"""A recipe with its base: what can be seen of a run before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ggez_hub.digests import digest_json, sha256_files
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.families import Family, Layout, get_family
from ggez_hub.merging.deltas import WeightIndex
from ggez_hub.recipe_file import BadRecipe, read_recipe
from ggez_hub.registry.local_merge.inputs import ModelSource
from ggez_hub.training import embedding, lora, vlm
from ggez_hub.training.backend import ModuleTree, TrainingBackend
from ggez_hub.training.diffusion.backend import WAY as DIFFUSION
from ggez_hub.training.examples import Examples, Filtered, Unfiltered
from ggez_hub.training.recipe import Data, Named, Stage, TrainRecipe

BACKENDS: Mapping[str, TrainingBackend] = {
    "embedding": embedding.WAY,
    "vlm": vlm.WAY,
    "diffusion": DIFFUSION,
}


def training_backend(family: str) -> TrainingBackend:
    """How models of a family are trained; raises UsageProblem."""
    if family not in BACKENDS:
        raise UsageProblem(
            f"models of the family {family!r} cannot be trained",
            f"Families: {', '.join(BACKENDS)}.",
        )
    return BACKENDS[family]


# A part of every digest: raise it when the same recipe comes to give other weights.
VERSION = 3


def read_training(path: Path) -> TrainRecipe:
    """The recipe of a file, with the keys of its family; raises BadRecipe, UsageProblem."""
    family = read_recipe(path, "train", Named).family
    return read_recipe(path, "train", training_backend(family).recipe)


@contextmanager
def about(key: str) -> Iterator[None]:
    """Errors say which key of the recipe they are about; their kind stays."""
    try:
        yield
    except BadRecipe:
        raise
    except GgezError as error:
        error.message = f"{key}: {error.message}"
        error.args = (error.message,)
        raise


@dataclass(frozen=True)
class Job:
    """A recipe, the folder that its relative paths start from, and its base on this machine."""

    recipe: TrainRecipe
    here: Path
    base: ModelSource

    @cached_property
    def way(self) -> TrainingBackend:
        """How models of the family are trained."""
        return training_backend(self.recipe.family)

    @cached_property
    def family(self) -> Family:
        """The family of the base."""
        return get_family(self.recipe.family)

    @cached_property
    def layout(self) -> Layout:
        """How the base lies in its folder; raises UnknownLayout."""
        return self.family.layout(self.base.path, self.recipe.variant)

    @cached_property
    def tree(self) -> ModuleTree:
        """The base's modules without weights; raises UnknownLayout, NoSkeleton."""
        return self.family.module_tree(self.base.path)

    @cached_property
    def index(self) -> WeightIndex:
        """The base's stored tensors."""
        return WeightIndex(self.base.path, self.layout.weights)

    @cached_property
    def targets(self) -> list[str]:
        """The modules that get factors; raises BadRecipe."""
        return lora.targets_of(self.way, self.recipe, self.tree)

    @cached_property
    def parameters(self) -> list[str]:
        """The base's parameters that are trained themselves; raises BadRecipe."""
        return lora.learning_parameters(self.way, self.recipe, self.tree)

    def examples(self, stage: Stage) -> Examples:
        """The examples of a stage."""
        return self._examples(stage.data, stage.key)

    @property
    def validation(self) -> Examples | None:
        """The validation set, where it is data of its own."""
        asked = self.recipe.validation.data if self.recipe.validation else None
        return None if asked is None else self._examples(asked, "validation")

    def _examples(self, asked: Data, key: str) -> Examples:
        if asked.filtered is not None:
            return Filtered(self.here / Path(asked.filtered).expanduser(), key)
        return Unfiltered(asked.sources or [], self.here, key)

    def unused(self, row: Mapping[str, Any]) -> str | None:
        """Why a row is no example for the family; None if it is one."""
        return self.way.unused(self.recipe, row)

    def check_base(self) -> None:
        """Raise for a base that is no model of the family, BadRecipe for what matches nothing of it."""
        with about("base"):
            _ = self.layout
            self.way.check(self.recipe, self.base.path)
            _ = self.tree
        _ = self.targets if self.recipe.method == "lora" else self.parameters

    def check(self) -> None:
        """Raise BadRecipe for whatever can be seen to be off before anything is loaded."""
        if self.base.repo is None:
            raise BadRecipe(
                f"base_repo: is missing: {self.base.given} is a folder, and the card has to name a "
                "repository",
                "Write base_repo: org/name@commit, the repository that has these very weights.",
            )
        self.check_base()
        for stage in self.recipe.stages:
            self.examples(stage).check()
        if self.validation is not None:
            self.validation.check()

    @cached_property
    def weights(self) -> dict[str, str]:
        """The sha256s of the base's weight files."""
        return sha256_files(self.base.path, self.layout.weights)

    @cached_property
    def digest(self) -> str:
        """The sha256 of what decides the result."""
        data = [self.examples(stage).digest for stage in self.recipe.stages]
        if self.validation is not None:
            data.append(self.validation.digest)
        return digest_json(
            {
                "version": VERSION,
                "recipe": self.recipe.decisive(),
                "weights": self.weights,
                "data": data,
            }
        )
