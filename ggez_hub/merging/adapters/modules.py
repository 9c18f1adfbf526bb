"""What an adapter adds to one tensor of the base, and an adapter as a set of such parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ggez_hub.merging.deltas import BadAdapter, WeightIndex, WrongBase
from ggez_hub.weights import WeightFile

if TYPE_CHECKING:
    import torch


class ModuleDelta(Protocol):
    """Delta of one tensor."""

    @property
    def target(self) -> str:
        """The tensor of the base."""

    def delta(self, base: WeightIndex) -> torch.Tensor:
        """Delta in float64, in the shape of the base's tensor."""


class ModuleSet:
    """An adapter made of parts, each of which changes one tensor: a Delta."""

    def __init__(self, name: str, modules: Mapping[str, ModuleDelta], base: WeightIndex) -> None:
        """An adapter called `name` for `base`; `modules` by the tensor that they change."""
        self._name = name
        self._modules = dict(modules)
        self._base = base

    @property
    def name(self) -> str:
        return self._name

    @property
    def touched(self) -> frozenset[str]:
        return frozenset(self._modules)

    def tensor(self, name: str) -> torch.Tensor:
        return self._modules[name].delta(self._base)


@dataclass(frozen=True)
class LowRank:
    """scale * B @ A, from two matrices of an adapter's file.

    A is (rank, in, *kernel) and B (out, rank, 1...). `transposed` says that B @ A is the transpose
    of the base's tensor, as PEFT stores embeddings.
    """

    target: str
    file: WeightFile
    key_a: str
    key_b: str
    scale: float
    transposed: bool = False

    def delta(self, base: WeightIndex) -> torch.Tensor:
        import torch
        from safetensors import safe_open

        with safe_open(self.file.path, framework="pt") as file:
            a = file.get_tensor(self.key_a).to(torch.float64)
            b = file.get_tensor(self.key_b).to(torch.float64)
        product = (b.flatten(1) @ a.flatten(1)).mul_(self.scale)
        product = product.reshape(b.shape[0], a.shape[1], *a.shape[2:])
        return product.T if self.transposed else product

    def check(self, base: WeightIndex) -> None:
        """Raise BadAdapter if the matrices do not multiply, WrongBase if the base has no room."""
        a, b = self.file.tensors[self.key_a].shape, self.file.tensors[self.key_b].shape
        if len(a) < 2 or len(b) < 2 or any(size != 1 for size in b[2:]) or b[1] != a[0]:
            raise BadAdapter(
                f"{self.file.path}: {self.key_b!r} {b} does not multiply {self.key_a!r} {a}"
            )
        shape: tuple[int, ...] = (b[0], a[1], *a[2:])
        if self.transposed:
            shape = shape[::-1]
        if base[self.target].shape != shape:
            raise WrongBase(
                f"{self.file.path} gives {shape} for {self.target!r}, the base in {base.folder} "
                f"has {base[self.target].shape}",
                "The adapter was trained on another model.",
            )
