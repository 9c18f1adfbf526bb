"""What an adapter adds to one tensor of the base, and an adapter as a set of such parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from ggez_hub.merging.delta_rows import Added, Picked, Product, RowDelta, Whole, matrix_shape
from ggez_hub.merging.deltas import BadAdapter, Delta, WeightIndex, WrongBase
from ggez_hub.quantities import counted
from ggez_hub.safetensors_header import WeightFile

if TYPE_CHECKING:
    import torch

# Dtypes whose values float64 holds exactly, and what torch calls them.
FLOATING = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


class ModuleDelta(Protocol):
    """Delta of one tensor."""

    @property
    def target(self) -> str:
        """The tensor of the base."""

    def by_rows(self, base: WeightIndex) -> RowDelta:
        """Delta, some rows at a time."""


@dataclass(frozen=True)
class FilePart(ABC):
    """A ModuleDelta of a file that can be compared with the base before its values are read."""

    target: str
    file: WeightFile

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of Delta; raises BadAdapter if its matrices do not fit together."""

    @abstractmethod
    def by_rows(self, base: WeightIndex) -> RowDelta:
        """Delta, some rows at a time."""

    def check(self, base: WeightIndex) -> None:
        """Raise BadAdapter as `shape` does, WrongBase if the base has no room."""
        require_room(base, self.target, self.shape, self.file)

    def selected(self, runs: tuple[range, ...] | None) -> FilePart:
        """Some runs of its rows for the same target; all of them for None."""
        return self if runs is None else SelectedRows(self.target, self.file, self, runs)


class ModuleSet(Delta):
    """An adapter made of parts, each of which changes one tensor."""

    def __init__(self, name: str, modules: Mapping[str, ModuleDelta], base: WeightIndex) -> None:
        """An adapter called `name` for `base`; `modules` by the tensor that they change."""
        super().__init__(name, base)
        self._modules = modules

    @property
    def touched(self) -> frozenset[str]:
        return frozenset(self._modules)

    def by_rows(self, name: str) -> RowDelta:
        return self._modules[name].by_rows(self.base)


P = TypeVar("P", bound=ModuleDelta)


def by_target(parts: Iterable[P], path: Path) -> dict[str, P]:
    """Parts of the file at `path` by the tensor that they change; raises BadAdapter for two of one."""
    found: dict[str, P] = {}
    for part in parts:
        if found.setdefault(part.target, part) is not part:
            raise BadAdapter(f"{path}: two modules change the tensor {part.target!r}")
    return found


def read_values(file: WeightFile, key: str) -> torch.Tensor:
    """A tensor of an adapter's file in float64; raises BadAdapter for NaN, Inf and integers."""
    import torch

    require_floating(file, key)
    info, data = file.tensors[key], file.read(key)
    if not data:
        return torch.empty(info.shape, dtype=torch.float64)
    stored = torch.frombuffer(data, dtype=getattr(torch, FLOATING[info.dtype]))
    values = stored.to(torch.float64).reshape(info.shape)
    if not torch.isfinite(torch.stack(torch.aminmax(values))).all():
        raise BadAdapter(f"{file.path}: {key!r} is not finite: it holds NaN or Inf")
    return values


def require_floating(file: WeightFile, key: str) -> None:
    """Raise BadAdapter for a tensor of another dtype than adapters are made of."""
    if (dtype := file.tensors[key].dtype) not in FLOATING:
        raise BadAdapter(
            f"{file.path}: {key!r} is {dtype}, not a floating-point tensor",
            "A quantised adapter has to be converted to float16, bfloat16 or float32 first.",
        )


def require_room(
    base: WeightIndex,
    target: str,
    shape: tuple[int, ...],
    file: WeightFile,
    *,
    flattened: bool = False,
) -> None:
    """Raise WrongBase unless the base has a floating tensor `target` of that shape.

    With `flattened` everything beyond the first axis may be one axis.
    """
    info = base[target]
    if info.shape != shape and not (flattened and matrix_shape(info.shape) == matrix_shape(shape)):
        more = shape[0] - info.shape[0] if len(shape) == 2 and shape[1:] == info.shape[1:] else 0
        if more > 0:
            # As many outputs more as a larger vocabulary has, or another module's.
            raise WrongBase(
                f"{file.path} gives {shape} for {target!r}, the base in {base.folder} has {info.shape}: "
                f"{counted(more, 'row')} more, for which there is no value of the base",
                "If it was trained with a larger vocabulary, resize the base as the training did "
                "(resize_token_embeddings), save it, and merge into that.",
            )
        grouped = len(shape) > 2 and shape[0] == info.shape[0] and shape[2:] == info.shape[2:]
        raise WrongBase(
            f"{file.path} gives {shape} for {target!r}, the base in {base.folder} has {info.shape}",
            "If this is a grouped convolution: PEFT itself cannot merge a LoRA into one."
            if grouped and shape[1] % max(info.shape[1], 1) == 0
            else "The adapter is for a model of other sizes: another size of this one, or another model.",
        )
    if info.dtype.startswith("F8"):
        raise too_coarse(base, target)
    if info.dtype not in FLOATING:
        raise WrongBase(
            f"{target!r} of the base in {base.folder} is {info.dtype}: the base is quantised",
            "Merge into the base that it was made from.",
        )


def too_coarse(base: WeightIndex, target: str) -> WrongBase:
    """Why a float8 tensor of the base takes no Delta, and the way out."""
    return WrongBase(
        f"{target!r} of the base in {base.folder} is {base[target].dtype}: a float8 is too coarse to keep what "
        "an adapter adds",
        "Merge into the base that it was made from, or with --out-dtype bfloat16 (`merge` and `pull`), which "
        "stores the result in that; with --beta 0 that is the base for every other command.",
    )


@dataclass(frozen=True)
class LowRank(FilePart):
    """scale * B @ A, from two matrices of an adapter's file.

    A is (rank, in, *kernel) and B (out, rank, 1...). `transposed` says that B @ A is the transpose
    of the base's tensor, as for embeddings and for the Conv1D layers of GPT-2.
    """

    key_a: str
    key_b: str
    scale: float
    transposed: bool = False

    def by_rows(self, base: WeightIndex) -> RowDelta:
        a, b = (read_values(self.file, key).flatten(1) for key in (self.key_a, self.key_b))
        left, right = (a.T, b.T) if self.transposed else (b, a)
        return Product(left.contiguous(), right.contiguous(), self.scale)

    @property
    def shape(self) -> tuple[int, ...]:
        shape = low_rank_shape(self.file, self.key_a, self.key_b)
        return shape[::-1] if self.transposed else shape


def low_rank_shape(file: WeightFile, key_a: str, key_b: str) -> tuple[int, ...]:
    """The shape (out, in, *kernel) of B @ A, as for LowRank; raises BadAdapter."""
    a, b = file.tensors[key_a].shape, file.tensors[key_b].shape
    if len(a) < 2 or len(b) < 2 or any(size != 1 for size in b[2:]) or b[1] != a[0]:
        raise BadAdapter(f"{file.path}: {key_b!r} {b} does not multiply {key_a!r} {a}")
    for key in (key_a, key_b):
        require_floating(file, key)
    return (b[0], a[1], *a[2:])


@dataclass(frozen=True)
class Scaled(FilePart):
    """scale * a tensor of the adapter's file, of the shape of the base's."""

    key: str
    scale: float

    def by_rows(self, base: WeightIndex) -> RowDelta:
        return Whole(read_values(self.file, self.key).mul_(self.scale))

    @property
    def shape(self) -> tuple[int, ...]:
        require_floating(self.file, self.key)
        return self.file.tensors[self.key].shape


@dataclass(frozen=True)
class SelectedRows(FilePart):
    """Some rows of a part that is one for several tensors, as fused query, key and value are.

    `runs` are those of the target, in its order.
    """

    part: FilePart
    runs: tuple[range, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(map(len, self.runs)), *self.part.shape[1:])

    def by_rows(self, base: WeightIndex) -> RowDelta:
        return Picked(self.part.by_rows(base), self.runs)

    def check(self, base: WeightIndex) -> None:
        require_room(base, self.target, self.shape, self.file, flattened=True)


@dataclass(frozen=True)
class Sum:
    """Two parts that change one tensor, each by an amount that the other does not change."""

    target: str
    parts: tuple[ModuleDelta, ModuleDelta]

    def by_rows(self, base: WeightIndex) -> RowDelta:
        return Added(*(part.by_rows(base) for part in self.parts))
