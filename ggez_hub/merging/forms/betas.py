"""The beta of each module of an adapter form: one for all, or by the tensor that a module changes.

A form has a scale for each module, so that betas by part can be folded in where the tensors that one
scale covers have one beta.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path

from ggez_hub.families import Family
from ggez_hub.families.family import KeyMap
from ggez_hub.merging.deltas import BadAdapter, WeightIndex, WrongBase
from ggez_hub.merging.forms.pairs import OLD_ROOT
from ggez_hub.merging.forms.pipelines import Pipeline
from ggez_hub.merging.merge import Adapter, require_tensors


class Need(Enum):
    """What of the base's files a form reads: nothing, configuration only, or all."""

    NOTHING = 0
    CONFIGURATION = 1
    WEIGHTS = 2


@dataclass(frozen=True)
class FormBase:
    """The base as an adapter form names it, and its folder as far as the form needs it.

    `variant` is which set of its weights is meant, as for a merge.
    """

    name: str
    revision: str | None
    family: Family
    folder: Path | None = None
    variant: str | None = None


@dataclass(frozen=True)
class FormBetas:
    """The betas of an adapter on a base, of which anything is read only where they are by tensor."""

    adapter: Adapter
    base: FormBase

    @property
    def are_one(self) -> bool:
        """Whether all tensors have the adapter's beta."""
        return not self.adapter.by_tensor

    @cached_property
    def index(self) -> WeightIndex:
        """The base's tensors; raises WrongBase where it lacks one that has a beta."""
        base = self.base
        assert base.folder is not None  # noqa: S101 - need
        index = WeightIndex(base.folder, base.family.layout(base.folder, base.variant).weights)
        require_tensors(self.adapter.by_tensor, index)
        return index

    def of_tensor(self, name: str) -> float:
        """The beta of a tensor of the base."""
        return self.adapter.beta_of(name)

    def of_module(self, path: str) -> float:
        """The beta of the weight of a module; of a pipeline's, the component comes first.

        Raises WrongBase, or as the family's key map.
        """
        if self.are_one:
            return self.adapter.beta
        name = self._key_map(path)
        if name is None:
            raise WrongBase(
                f"{self.adapter.folder} changes a module {path!r} that {self.base.name} does not have",
                "The adapter was trained on another model.",
            )
        return self.of_tensor(name)

    def of_named(self, name: str, pipeline: Pipeline) -> tuple[float, float]:
        """The betas of the weight and the bias of a module by its name in a kohya file.

        Raises BadAdapter for the name of another tool, which does not say what module it is.
        """
        if self.are_one:
            return self.adapter.beta, self.adapter.beta
        tensor = self._named(pipeline).get(name)
        if tensor is None:
            raise BadAdapter(
                f"{self.adapter.folder}: {name!r} is not the name of a module of {self.base.name}, so "
                "that its part is not known",
                "Take the merged form: leave out --as.",
            )
        return self.of_tensor(tensor), self.of_tensor(f"{tensor.removesuffix('weight')}bias")

    @cached_property
    def _key_map(self) -> KeyMap:
        return self.base.family.key_map(self.index.folder, self.index)

    def _named(self, pipeline: Pipeline) -> dict[str, str]:
        """The base's weights by the names of their modules in a kohya file, where these are unique."""
        found: dict[str, str | None] = {}
        for tensor in self.index:
            component, _, rest = tensor.partition("/")
            part = pipeline.loader.kohya.get(component)
            if part is None or not rest.endswith(".weight"):
                continue
            inner = rest.removesuffix(".weight").removeprefix(OLD_ROOT)
            for spelled in {inner, f"{OLD_ROOT}{inner}"}:
                name = f"{part.prefix}_{spelled.replace('.', '_')}"
                found[name] = None if name in found else tensor
        return {name: tensor for name, tensor in found.items() if tensor is not None}
