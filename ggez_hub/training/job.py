"""A training recipe with its base: what can be checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ggez_hub.digests import digest_json, sha256_files
from ggez_hub.errors import GgezError
from ggez_hub.families import FAMILIES, Family, Layout, get_family
from ggez_hub.merging.deltas import WeightIndex
from ggez_hub.plugins import load_value
from ggez_hub.recipe_file import BadRecipe, parse_recipe, read_recipe
from ggez_hub.registry.local_merge.inputs import ModelSource
from ggez_hub.training.backend import ModuleTree, TrainingBackend
from ggez_hub.training.examples import Examples, FilteredExamples, UnfilteredExamples
from ggez_hub.training.lora import full_parameters, lora_targets
from ggez_hub.training.recipe import Data, FamilyKey, Stage, TrainRecipe

# A part of every digest: raise it when the same recipe comes to give other weights.
VERSION = 4


def training_backend(family: str) -> TrainingBackend:
    """How models of a family are trained; raises BadRecipe, BadPlugin."""
    named = get_family(family).training_backend
    if not named:
        can = [name for name, known in FAMILIES.items() if known.training_backend]
        raise BadRecipe(
            f"family: models of the family {family!r} cannot be trained",
            f"Families: {', '.join(can)}.",
        )
    backend: TrainingBackend = load_value(named, TrainingBackend, "backend")
    return backend


def read_training(path: Path) -> TrainRecipe:
    """The recipe in a file, with the keys of its family; raises BadRecipe."""
    family = read_recipe(path, "train", FamilyKey).family
    return read_recipe(path, "train", training_backend(family).recipe)


def parse_training(text: str, path: Path | str) -> TrainRecipe:
    """The recipe in a text, which messages call `path`; raises BadRecipe."""
    family = parse_recipe(text, path, "train", FamilyKey).family
    return parse_recipe(text, path, "train", training_backend(family).recipe)


@contextmanager
def about_key(key: str) -> Iterator[None]:
    """Put the key of the recipe before the message of an error, whose type stays."""
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

    @property
    def backend(self) -> TrainingBackend:
        """How models of the family are trained."""
        return training_backend(self.recipe.family)

    @property
    def family(self) -> Family:
        """The family of the base."""
        return get_family(self.recipe.family)

    @cached_property
    def layout(self) -> Layout:
        """The files of the base; raises UnknownLayout."""
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
        """The modules that get factors, none for `method: full`; raises BadRecipe."""
        if self.recipe.method == "full":
            return []
        return lora_targets(self.backend, self.recipe, self.tree)

    @cached_property
    def parameters(self) -> list[str]:
        """The base's own parameters that are trained, none for LoRA; raises BadRecipe."""
        if self.recipe.method == "lora":
            return []
        return full_parameters(self.backend, self.recipe, self.tree)

    def examples(self, stage: Stage) -> Examples:
        """The examples of a stage."""
        return self._examples(stage.data, stage.key)

    @property
    def validation(self) -> Examples | None:
        """The validation set, where the recipe names data for it."""
        data = self.recipe.validation
        return (
            None if data is None or data.share is not None else self._examples(data, "validation")
        )

    def _examples(self, data: Data, key: str) -> Examples:
        if data.filtered is not None:
            return FilteredExamples(self.here / Path(data.filtered).expanduser(), key)
        return UnfilteredExamples(data.sources or [], self.here, key)

    def check_base(self) -> None:
        """Raise for a base that is not of the family, BadRecipe for keys that match nothing in it."""
        with about_key("base"):
            if quantization := self.layout.quantization:
                raise GgezError(
                    f"{self.base.path} is quantised ({quantization}), which is not trained",
                    "Train on the base that it was made from; the adapter can be merged into this one.",
                )
            self.backend.check(self.recipe, self.base.path)
            _ = self.tree
        _ = self.targets, self.parameters

    def check(self) -> None:
        """Raise BadRecipe for whatever can be found before anything is loaded."""
        if self.base.repo is None:
            raise BadRecipe(
                f"base_repo: is missing: {self.base.given} is a folder, and the card has to name a "
                "repository",
                "Write base_repo: org/name@commit, the repository that has these very weights.",
            )
        self.check_base()
        for examples in self._data:
            examples.check()

    @property
    def _data(self) -> list[Examples]:
        """The examples of all stages, and the validation set."""
        stages = [self.examples(stage) for stage in self.recipe.stages]
        return [*stages, *([self.validation] if self.validation else [])]

    @cached_property
    def weights(self) -> dict[str, str]:
        """The sha256s of the base's weight files."""
        return sha256_files(self.base.path, self.layout.weights)

    @cached_property
    def digest(self) -> str:
        """The sha256 of what decides the result."""
        origin = FAMILIES.origin(self.recipe.family)
        return digest_json(
            {
                "version": VERSION,
                "recipe": self.recipe.decisive(),
                "weights": self.weights,
                "data": [examples.digest for examples in self._data],
                **({"plugin": origin.document} if origin else {}),
            }
        )
