"""A LoRA whose product belongs to rows of stored tensors: of fused ones, and of stacked experts.

PEFT's `target_parameters` adapts a parameter (experts, out, in), or (experts, in, out) if its module
says `is_transposed`, by A (experts * rank, in) and B (out, rank * experts): of expert e it is the rows
e * rank... of A and every experts-th column of B from e on (peft 0.21.2, tuners/lora/layer.py:
ParamWrapper). Of several parameters of one module the last one is the outermost wrapper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from ggez_hub.families.family import NotOneToOne
from ggez_hub.families.stored_rows import Runs
from ggez_hub.merging.adapters.dora import DoraRows
from ggez_hub.merging.adapters.module_delta import (
    FilePart,
    ModuleDelta,
    Sum,
    low_rank_shape,
    read_values,
    require_floating,
    require_room,
)
from ggez_hub.merging.adapters.peft_config import scale_of
from ggez_hub.merging.adapters.peft_folder import MAGNITUDE, PeftOnBase
from ggez_hub.merging.delta_rows import Elementwise, Placed, Product, RowDelta
from ggez_hub.merging.deltas import BadAdapter, WeightIndex
from ggez_hub.safetensors_header import WeightFile

if TYPE_CHECKING:
    import torch

LORA = frozenset({"lora_A", "lora_B"})
WRAPPED = ".base_layer"


# By identity: a file's header is not hashable.
@dataclass(frozen=True, eq=False)
class Factors:
    """The matrices of one parameter (rows, columns), or (experts, rows, columns)."""

    file: WeightFile
    key_a: str
    key_b: str
    rows: int
    columns: int
    experts: int = 1
    transposed: bool = False

    def check(self) -> int:
        """The rank; raises BadAdapter unless the matrices are those of the parameter."""
        low_rank_shape(self.file, self.key_a, self.key_b)
        a, b = (self.file.tensors[key].shape for key in (self.key_a, self.key_b))
        out, into = self.columns, self.rows
        if not self.transposed:
            out, into = into, out
        if (
            len(a) != 2
            or len(b) != 2
            or (b[0], a[1]) != (out, into)
            or not a[0]
            or a[0] % max(self.experts, 1)
        ):
            raise BadAdapter(
                f"{self.file.path}: {self.key_a!r} {a} and {self.key_b!r} {b} are not for "
                f"{self.experts} x {out} x {into}"
            )
        return a[0] // self.experts

    def read(self) -> tuple[torch.Tensor, torch.Tensor]:
        """left (experts, rows, rank) and right (experts, rank, columns) in float64."""
        a, b = read_values(self.file, self.key_a), read_values(self.file, self.key_b)
        a = a.reshape(self.experts, -1, a.shape[1])
        b = b.reshape(len(b), -1, self.experts).permute(2, 0, 1)
        return (a.transpose(1, 2), b.transpose(1, 2)) if self.transposed else (b, a)


Read: TypeAlias = "Callable[[Factors], tuple[torch.Tensor, torch.Tensor]]"


def reader() -> Read:
    """What reads factors and keeps those that were read last."""
    return lru_cache(maxsize=4)(Factors.read)


@dataclass(frozen=True, eq=False)
class ProductRows(FilePart):
    """Those rows of `factors` that a stored tensor has; rows are counted expert by expert.

    The experts of a module may be stored one by one: `read` keeps what was read for the next one.
    """

    factors: Factors
    scale: float
    runs: Runs
    read: Read
    key_magnitude: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(count for _, _, count in self.runs), self.factors.columns)

    def check(self, base: WeightIndex) -> None:
        require_room(
            base, self.target, (*base[self.target].shape[:-1], self.factors.columns), self.file
        )
        if self.key_magnitude is not None:
            require_floating(self.file, self.key_magnitude)
            shape, stored = self.file.tensors[self.key_magnitude].shape, base[self.target].shape
            if shape != (self.factors.rows,) or len(stored) != 2:
                raise BadAdapter(
                    f"{self.file.path}: {self.key_magnitude!r} is {shape} for {self.factors.rows} rows of "
                    f"{self.target!r} {stored}"
                )

    def by_rows(self, base: WeightIndex) -> RowDelta:
        import torch

        left, right = self.read(self.factors)
        if self.key_magnitude is not None:
            return self._decomposed(self.key_magnitude, left[0], right[0], base)
        shape = base[self.target].shape
        numbers = torch.full((math.prod(shape[:-1]),), -1)
        for stored, row, count in self.runs:
            numbers[stored : stored + count] = torch.arange(row, row + count)
        products = []
        for own in numbers.reshape(shape[0] if len(shape) > 2 else 1, -1):
            expert = (own[own >= 0] // self.factors.rows).unique()
            if len(expert) > 1:
                raise BadAdapter(
                    f"{self.file.path}: {self.target!r} of the base mixes the rows of several experts"
                )
            number = int(expert[0]) if len(expert) else 0
            rows = left[number][own % self.factors.rows]
            rows[own < 0] = 0
            products.append(Product(rows, right[number].contiguous(), self.scale))
        return Stacked(products, self.factors.columns) if len(shape) > 2 else products[0]

    def _decomposed(
        self, key: str, left: torch.Tensor, right: torch.Tensor, base: WeightIndex
    ) -> RowDelta:
        """A DoRA: its norms are of rows, each of which is complete in the stored tensor."""
        import torch

        runs = sorted(self.runs)
        places = [range(stored, stored + count) for stored, _, count in runs]
        own = torch.cat([torch.arange(row, row + count) for _, row, count in runs])
        stored = base.read(self.target).reshape(-1, self.factors.columns)
        weight = torch.cat([stored[run.start : run.stop] for run in places])
        low = Product(left[own], right.contiguous(), self.scale)
        magnitude = read_values(self.file, key)[own]
        return Placed(DoraRows(self.target, low, weight, weight, magnitude), _joined(places))


def _joined(runs: Iterable[range]) -> list[range]:
    """Ascending runs, of which those that follow each other are one."""
    joined: list[range] = []
    for run in runs:
        if joined and joined[-1].stop == run.start:
            joined[-1] = range(joined[-1].start, run.stop)
        else:
            joined.append(run)
    return joined


class Stacked(Elementwise):
    """Matrices of one shape, each of them a row."""

    def __init__(self, matrices: Sequence[RowDelta], columns: int) -> None:
        self._matrices, self._columns = matrices, columns

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        for number in range(start, stop):
            matrix = out[number - start].view(-1, self._columns)
            self._matrices[number].write(0, len(matrix), matrix)


def of_fused_module(
    source: PeftOnBase, module: str, keys: Mapping[str, str], error: NotOneToOne, read: Read
) -> Iterator[ProductRows]:
    """A LoRA or DoRA on a module whose weight is rows of stored tensors; raises BadAdapter, or `error`."""
    if not error.rows:
        raise error
    if more := sorted(keys.keys() - LORA - {MAGNITUDE}):
        raise BadAdapter(
            f"{source.file.path}: {module!r} is rows of stored tensors in the base, into which a LoRA or a DoRA "
            f"is merged and nothing else: it has {', '.join(more)}, too",
            error.hint,
        )
    if not keys.keys() >= LORA:
        raise error
    source.require_declared(module, keys)
    a, b = (source.file.tensors[keys[part]].shape for part in ("lora_A", "lora_B"))
    factors = Factors(source.file, keys["lora_A"], keys["lora_B"], b[0], a[-1])
    scale = scale_of(source.config, module, factors.check(), source.file.path)
    yield from _parts(source, error.rows, factors, scale, read, keys.get(MAGNITUDE))


def of_parameters(
    source: PeftOnBase, parts: Mapping[str, Mapping[str, str]], read: Read
) -> Iterator[tuple[str, Iterator[ProductRows]]]:
    """What `target_parameters` adapts: each wrapper by its path in `parts`, and what it changes.

    Raises BadAdapter, WrongBase, or as the key map.
    """
    targets = tuple(source.config["target_parameters"])
    matched: set[str] = set()
    for path, module in source.tree.items():
        named = []
        for name, parameter in module.named_parameters(recurse=False):
            own = {t for t in targets if f".{path}.{name}".endswith(f".{t}")}
            matched |= own
            if own:
                named.append((name, tuple(parameter.shape)))
        for depth, (name, shape) in enumerate(reversed(named)):
            wrapper = path + WRAPPED * depth
            keys = parts.get(wrapper, {})
            if keys.keys() != LORA or len(shape) not in {2, 3}:
                raise BadAdapter(
                    f"{source.folder}: target_parameters names {path}.{name} {shape}, for which it has "
                    f"{', '.join(sorted(keys)) or 'nothing'}"
                )
            factors = Factors(
                source.file, keys["lora_A"], keys["lora_B"], shape[-2], shape[-1],
                experts=shape[0] if len(shape) == 3 else 1,
                transposed=len(shape) == 3 and bool(getattr(module, "is_transposed", False)),
            )  # fmt: skip
            yield wrapper, _of_parameter(source, f"{path}.{name}", factors, read)
    if lacking := set(targets) - matched:
        raise BadAdapter(
            f"{source.folder}: target_parameters names {min(lacking)!r}, which the base in "
            f"{source.base.folder} does not have",
            "The adapter is for another model, or for a version of this one with other modules.",
        )


def _of_parameter(
    source: PeftOnBase, parameter: str, factors: Factors, read: Read
) -> Iterator[ProductRows]:
    scale = scale_of(source.config, parameter, factors.check(), source.file.path)
    rows: Mapping[str, Runs]
    try:
        module, _, leaf = parameter.rpartition(".")
        target = source.key_map(parameter) or source.parameter(module, leaf)
        rows = {target: ((0, 0, factors.experts * factors.rows),)}
    except NotOneToOne as error:
        if not error.rows:
            raise
        rows = error.rows
    yield from _parts(source, rows, factors, scale, read)


def _parts(
    source: PeftOnBase,
    rows: Mapping[str, Runs],
    factors: Factors,
    scale: float,
    read: Read,
    magnitude: str | None = None,
) -> Iterator[ProductRows]:
    for target, runs in rows.items():
        part = ProductRows(target, source.file, factors, scale, runs, read, magnitude)
        part.check(source.base)
        yield part


def joined(parts: Iterable[ProductRows]) -> dict[str, ModuleDelta]:
    """Parts by the tensor that they change, each its own rows; raises BadAdapter for a row of two."""
    found: dict[str, list[ProductRows]] = {}
    for part in parts:
        found.setdefault(part.target, []).append(part)
    for target, own in found.items():
        runs = sorted(run for part in own for run in part.runs)
        if any(one[0] + one[2] > two[0] for one, two in pairwise(runs)):
            raise BadAdapter(f"{own[0].file.path}: two modules change the same rows of {target!r}")
    return {target: _sum(own) for target, own in found.items()}


def _sum(parts: Sequence[ModuleDelta]) -> ModuleDelta:
    one, *others = parts
    for other in others:
        one = Sum(one.target, (one, other))
    return one
