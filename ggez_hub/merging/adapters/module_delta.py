"""What an adapter adds to one tensor of the base, and an adapter as a set of such parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ggez_hub.merging.delta_rows import Picked, Product, RowDelta, Whole, matrix_shape, whole
from ggez_hub.merging.deltas import BadAdapter, WeightIndex, WrongBase
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

    def delta(self, base: WeightIndex) -> torch.Tensor:
        """Delta in float64, in the shape of the base's tensor."""


@runtime_checkable
class ModuleByRows(Protocol):
    """A ModuleDelta that never needs its tensor's Delta as a whole."""

    def by_rows(self, base: WeightIndex) -> RowDelta:
        """Delta, some rows at a time."""


class Shaped(ModuleDelta, ModuleByRows, Protocol):
    """A part whose rows do not depend on the base, which it can be compared with."""

    @property
    def file(self) -> WeightFile:
        """Where it comes from."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of Delta; raises BadAdapter if its matrices do not fit together."""

    def check(self, base: WeightIndex) -> None:
        """Raise BadAdapter as `shape` does, WrongBase if the base has no room."""


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

    def by_rows(self, name: str) -> RowDelta:
        module = self._modules[name]
        if isinstance(module, ModuleByRows):
            return module.by_rows(self._base)
        return Whole(module.delta(self._base))


def read_values(file: WeightFile, key: str) -> torch.Tensor:
    """A tensor of an adapter's file in float64; raises BadAdapter for NaN, Inf and integers."""
    import torch

    require_floating(file, key)
    info = file.tensors[key]
    # safe_open would read the header again for each tensor: its time grows with the square of them.
    with file.path.open("rb") as opened:
        opened.seek(file.data_start + info.start)
        data = bytearray(opened.read(info.nbytes))
    if len(data) != info.nbytes:
        raise BadAdapter(f"{file.path} became shorter while it was read")
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
            f"{file.path}: {key!r} is {dtype}, no floating-point tensor",
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
        grouped = len(shape) > 2 and shape[0] == info.shape[0] and shape[2:] == info.shape[2:]
        raise WrongBase(
            f"{file.path} gives {shape} for {target!r}, the base in {base.folder} has {info.shape}",
            "If this is a grouped convolution: PEFT itself cannot merge a LoRA into one."
            if grouped and shape[1] % max(info.shape[1], 1) == 0
            else "The adapter was trained on another model.",
        )
    if info.dtype not in FLOATING:
        raise WrongBase(
            f"{target!r} of the base in {base.folder} is {info.dtype}: the base is quantised",
            "Merge into the base that it was made from.",
        )


@dataclass(frozen=True)
class LowRank:
    """scale * B @ A, from two matrices of an adapter's file.

    A is (rank, in, *kernel) and B (out, rank, 1...). `transposed` says that B @ A is the transpose
    of the base's tensor, as for embeddings and for the Conv1D layers of GPT-2.
    """

    target: str
    file: WeightFile
    key_a: str
    key_b: str
    scale: float
    transposed: bool = False

    def delta(self, base: WeightIndex) -> torch.Tensor:
        return whole(self.by_rows(base), base[self.target].shape)

    def by_rows(self, base: WeightIndex) -> RowDelta:
        a, b = (read_values(self.file, key).flatten(1) for key in (self.key_a, self.key_b))
        left, right = (a.T, b.T) if self.transposed else (b, a)
        return Product(left.contiguous(), right.contiguous(), self.scale)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of Delta; raises BadAdapter if the matrices do not multiply."""
        shape = low_rank_shape(self.file, self.key_a, self.key_b)
        return shape[::-1] if self.transposed else shape

    def check(self, base: WeightIndex) -> None:
        """Raise BadAdapter if the matrices do not multiply, WrongBase if the base has no room."""
        require_room(base, self.target, self.shape, self.file)


def low_rank_shape(file: WeightFile, key_a: str, key_b: str) -> tuple[int, ...]:
    """The shape (out, in, *kernel) of B @ A, as for LowRank; raises BadAdapter."""
    a, b = file.tensors[key_a].shape, file.tensors[key_b].shape
    if len(a) < 2 or len(b) < 2 or any(size != 1 for size in b[2:]) or b[1] != a[0]:
        raise BadAdapter(f"{file.path}: {key_b!r} {b} does not multiply {key_a!r} {a}")
    for key in (key_a, key_b):
        require_floating(file, key)
    return (b[0], a[1], *a[2:])


@dataclass(frozen=True)
class Scaled:
    """scale * a tensor of the adapter's file, of the shape of the base's."""

    target: str
    file: WeightFile
    key: str
    scale: float

    def delta(self, base: WeightIndex) -> torch.Tensor:
        return read_values(self.file, self.key).mul_(self.scale)

    def by_rows(self, base: WeightIndex) -> RowDelta:
        return Whole(self.delta(base))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of Delta; raises BadAdapter for another dtype."""
        require_floating(self.file, self.key)
        return self.file.tensors[self.key].shape

    def check(self, base: WeightIndex) -> None:
        """Raise BadAdapter for another dtype, WrongBase if the base has no room."""
        require_room(base, self.target, self.shape, self.file)


@dataclass(frozen=True)
class SelectedRows:
    """Some rows of a part that is one for several tensors, as fused query, key and value are.

    `runs` are those of the target, in its order.
    """

    target: str
    part: Shaped
    runs: tuple[range, ...]

    @property
    def file(self) -> WeightFile:
        """Where the part comes from."""
        return self.part.file

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the rows; raises as the part's does."""
        return (sum(map(len, self.runs)), *self.part.shape[1:])

    def delta(self, base: WeightIndex) -> torch.Tensor:
        return whole(self.by_rows(base), base[self.target].shape)

    def by_rows(self, base: WeightIndex) -> RowDelta:
        return Picked(self.part.by_rows(base), self.runs)

    def check(self, base: WeightIndex) -> None:
        """Raise as the part does, or WrongBase if the base has no room."""
        require_room(base, self.target, self.shape, self.file, flattened=True)


@dataclass(frozen=True)
class Sum:
    """Several parts that change one tensor, each by an amount that the others do not change."""

    target: str
    parts: Sequence[ModuleDelta]

    def delta(self, base: WeightIndex) -> torch.Tensor:
        first, *rest = (part.delta(base) for part in self.parts)
        return sum(rest, start=first)
