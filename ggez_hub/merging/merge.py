"""A merge of folders: checks, the merge itself, side files."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.errors import MissingExtra, UsageProblem
from ggez_hub.families import Family
from ggez_hub.merging.deltas import Delta, WeightIndex
from ggez_hub.merging.output import check_space, copy_side_files, exclusive, whole_folder

METHODS = ("ggez_linear",)


@dataclass(frozen=True)
class Adapter:
    """An adapter folder and the weight that it gets."""

    folder: Path
    beta: float


@dataclass(frozen=True)
class MergeReport:
    """What a merge did: tensors and bytes written, and how many tensors the adapters changed."""

    tensors: int
    touched: int
    nbytes: int


def merge(
    base: Path,
    adapters: Sequence[Adapter],
    out: Path,
    family: Family,
    method: str = "ggez_linear",
    wrote: Callable[[int], None] | None = None,
) -> MergeReport:
    """Merge `adapters` into the model in `base` and write it as the new folder `out`.

    The output has the base's files, names, dtypes and side files. Raises GgezError with a reason
    and leaves nothing behind if the merge would not be exact.
    """
    require_method(method)
    with exclusive(out), whole_folder(out) as folder:
        return merge_into(folder, base, adapters, family, method, wrote)


def merge_into(
    folder: Path,
    base: Path,
    adapters: Sequence[Adapter],
    family: Family,
    method: str = "ggez_linear",
    wrote: Callable[[int], None] | None = None,
) -> MergeReport:
    """The same into an existing empty folder, for callers who make it whole themselves."""
    require_method(method)
    layout = family.layout(base)
    index = WeightIndex(base, layout.weights)
    deltas = [open_delta(adapter.folder, family, index) for adapter in adapters]
    check_space(folder, index.nbytes)
    copy_side_files(base, folder, layout.weights)
    require_engine()

    from ggez_hub.merging.plan import Weighted, execute

    execute(
        index,
        [Weighted(d, a.beta) for d, a in zip(deltas, adapters, strict=True)],
        folder,
        wrote=wrote,
    )
    touched: frozenset[str] = frozenset().union(*(d.touched for d in deltas))
    return MergeReport(len(index), len(touched), index.nbytes)


def open_delta(folder: Path, family: Family, base: WeightIndex) -> Delta:
    """The adapter in `folder` as a stream of Deltas for `base`; raises BadAdapter, WrongBase."""
    from ggez_hub.merging.lora import LoraDelta

    return LoraDelta(folder, family, base)


def require_method(method: str) -> None:
    """Raise UsageProblem for a merge method that is not ours."""
    if method not in METHODS:
        raise UsageProblem(
            f"there is no merge method {method!r} here",
            f"Methods: {', '.join(METHODS)}. For others use mergekit itself on the two folders.",
        )


def require_engine() -> None:
    """Raise MissingExtra unless mergekit and torch are installed."""
    for library in ("torch", "mergekit"):
        if importlib.util.find_spec(library) is None:
            raise MissingExtra(library, "merge")
