"""A merge of folders: checks, the merge itself, side files."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.atomic_files import atomic_folder
from ggez_hub.errors import UsageProblem
from ggez_hub.extras import require, without_collections
from ggez_hub.families import Family
from ggez_hub.hardware import taken_bytes
from ggez_hub.merging.adapters import open_delta
from ggez_hub.merging.betas_by_part import BetasByPart
from ggez_hub.merging.deltas import Delta, WeightIndex, WrongBase
from ggez_hub.merging.float8 import in_dtype, write_plain_files
from ggez_hub.merging.methods import NAME, Method
from ggez_hub.merging.side_files import check_space, copy_file, copy_side_files
from ggez_hub.output_lock import lock_output
from ggez_hub.quantities import counted

if TYPE_CHECKING:
    import torch

    from ggez_hub.merging.kernels import Workers


@dataclass(frozen=True)
class Adapter:
    """An adapter folder and the weight that it gets: `beta`, but for the tensors of `by_tensor`."""

    folder: Path
    beta: float
    by_tensor: Mapping[str, float] = field(default_factory=dict)

    def beta_of(self, name: str) -> float:
        return self.by_tensor.get(name, self.beta)

    def betas(self, touched: Collection[str]) -> dict[str, float]:
        """The beta of each of these tensors where it is not 0."""
        found = {name: self.beta_of(name) for name in touched}
        return {name: beta for name, beta in found.items() if beta != 0}


@dataclass(frozen=True)
class MergeReport:
    """What a merge did: tensors and bytes written, and how many tensors the adapters changed.

    A beta of 0 changes none.
    """

    tensors: int
    touched: int
    nbytes: int


def merge(
    base: Path,
    adapters: Sequence[Adapter],
    out: Path,
    family: Family,
    method: str = NAME,
    wrote: Callable[[int], None] | None = None,
    variant: str | None = None,
    out_dtype: str | None = None,
    device: torch.device | None = None,
) -> MergeReport:
    """Merge `adapters` into the model in `base` and write it as the new folder `out`.

    The output has the base's files, names, dtypes and side files. Of several sets of weights in the
    base it is the one that its library loads for `variant`, or without one; the others are not
    carried over. With `out_dtype` "bfloat16" what is float8 in the base is stored as that. A `device`,
    as `merge_device` gives it, computes the same bytes. Raises GgezError with a reason and leaves nothing behind if the merge would not be
    exact, WrongBase for the beta of a tensor that the base does not have.
    """
    Method.parse(method)
    with lock_output(out), atomic_folder(out) as folder:
        return merge_into(folder, base, adapters, family, method, wrote, variant, out_dtype, device)


def merge_into(
    folder: Path,
    base: Path,
    adapters: Sequence[Adapter],
    family: Family,
    method: str = NAME,
    wrote: Callable[[int], None] | None = None,
    variant: str | None = None,
    out_dtype: str | None = None,
    device: torch.device | None = None,
) -> MergeReport:
    """The same into an existing empty folder, for callers who rename it themselves."""
    Method.parse(method)
    layout = family.layout(base, variant)
    # Betas by part are about the base as it is, the scales of its float8 numbers too.
    stored = WeightIndex(base, layout.weights)
    for adapter in adapters:
        require_tensors(adapter.by_tensor, stored)
    index = in_dtype(stored, out_dtype)
    deltas = [open_delta(adapter.folder, family, index) for adapter in adapters]
    check_space({folder: _disk_bytes(index, deltas)})
    require_engine()
    load_engine()
    from ggez_hub.merging.engine import Weighted, execute

    copy_side_files(base, folder, layout)
    # A beta of 0 is the base bit for bit: the Delta is not even read.
    weighted = [
        Weighted(delta, adapter.betas(delta.touched), number)
        for number, (delta, adapter) in enumerate(zip(deltas, adapters, strict=True))
    ]
    active = [adapter for adapter in weighted if adapter.betas]
    touched: frozenset[str] = frozenset().union(*(adapter.betas for adapter in active))
    # Of a base in float8 these are also files that only lose scales.
    widened = {path for path, file in index.files.items() if index.results[path] is not file}
    rewritten = widened | {index.file_of[name] for name in touched}
    for path in index.files:
        if path not in rewritten:
            copy_file(base / path, folder / path)
            if wrote is not None:
                wrote(index.files[path].nbytes)
    if rewritten:
        part = index.only({name for name, path in index.file_of.items() if path in rewritten})
        execute(part, active, folder, method=method, wrote=wrote, device=device)
    if widened:
        write_plain_files(index, layout, folder)
    return MergeReport(len(index), len(touched), index.nbytes)


def _disk_bytes(index: WeightIndex, deltas: Sequence[Delta]) -> int:
    """What the result takes: holes of the base stay holes, but for the tensors that change."""
    files = index.files.values()
    held = sum(taken_bytes(file.path) - file.nbytes for file in files) + index.nbytes
    if held >= index.nbytes:
        return index.nbytes
    touched = frozenset().union(*(delta.touched for delta in deltas))
    return min(index.nbytes, held + sum(index[name].nbytes for name in touched))


def tensor_names(base: Path, family: Family, variant: str | None = None) -> Collection[str]:
    """The names of the tensors of the model in `base`: what betas by part are about."""
    return WeightIndex(base, family.layout(base, variant).weights)


def require_tensors(betas: Collection[str], names: Collection[str]) -> None:
    """Raise WrongBase unless the base has every tensor that a beta is given for."""
    if unknown := sorted(name for name in betas if name not in names):
        raise WrongBase(
            f"there are betas for {counted(len(unknown), 'tensor')} that the base does not have, such as "
            f"{unknown[0]!r}",
            "They were made for another base.",
        )


def require_engine() -> None:
    """Raise MissingExtra unless mergekit and torch are installed."""
    require("merge", "torch", "mergekit")


def load_engine() -> None:
    """Import torch and mergekit, which takes longer than a small merge."""
    with without_collections():
        importlib.import_module("ggez_hub.merging.engine")


class MergedTensors:
    """The stored tensors of a base, and what adapters make of them at any betas."""

    def __init__(
        self, base: Path, adapters: Sequence[Path], family: Family, parts: BetasByPart | None = None
    ) -> None:
        """Read headers; raises what the family's layout, opening an adapter and `parts` raise.

        `parts` say what beta some tensors have, of every adapter.
        """
        self.index = WeightIndex(base, family.layout(base).weights)
        self._parts = None if parts is None else parts.on(self.index)
        self._deltas = [open_delta(adapter, family, self.index) for adapter in adapters]

    @property
    def touched(self) -> frozenset[str]:
        return frozenset(name for delta in self._deltas for name in delta.touched)

    def tensor(
        self, name: str, betas: Sequence[float], workers: Workers | None = None
    ) -> torch.Tensor:
        """A tensor as the merge with one beta for each adapter stores it, in the base's dtype.

        With `workers` a merged tensor is in one of their slots and has to be given back. Raises
        GgezError as the merge would, and UsageProblem for another number of betas.
        """
        if len(betas) != len(self._deltas):
            raise UsageProblem(
                f"{counted(len(betas), 'beta')} cannot weigh {counted(len(self._deltas), 'adapter')}"
            )
        own = [beta if self._parts is None else self._parts.beta_of(name, beta) for beta in betas]
        # As in a merge, an adapter with the beta 0 is not even read.
        active = [
            (delta.by_rows(name), beta)
            for delta, beta in zip(self._deltas, own, strict=True)
            if beta != 0 and name in delta.touched
        ]
        base = self.index.read(name)
        if not active:
            return base

        from ggez_hub.merging.kernels import interpolate_rows
        from ggez_hub.merging.mergekit_methods import require_finite

        rows, weights = zip(*active, strict=True)
        merged, finite = interpolate_rows(base, rows, weights, workers)
        return require_finite(merged, name, finite)
