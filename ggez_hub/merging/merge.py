"""A merge of folders: checks, the merge itself, side files."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.errors import MissingExtra, UsageProblem
from ggez_hub.families import Family
from ggez_hub.merging.adapters import open_delta
from ggez_hub.merging.deltas import WeightIndex
from ggez_hub.merging.output import check_space, copy_file, copy_side_files, exclusive, whole_folder

METHODS = ("ggez_linear", "task_arithmetic", "ties")


@dataclass(frozen=True)
class Adapter:
    """An adapter folder and the weight that it gets."""

    folder: Path
    beta: float


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
    method: str = "ggez_linear",
    wrote: Callable[[int], None] | None = None,
    variant: str | None = None,
) -> MergeReport:
    """Merge `adapters` into the model in `base` and write it as the new folder `out`.

    The output has the base's files, names, dtypes and side files. Of several sets of weights in the
    base it is the one that its library loads for `variant`, or without one; the others are not
    carried over. Raises GgezError with a reason and leaves nothing behind if the merge would not be
    exact.
    """
    require_method(method)
    with exclusive(out), whole_folder(out) as folder:
        return merge_into(folder, base, adapters, family, method, wrote, variant)


def merge_into(
    folder: Path,
    base: Path,
    adapters: Sequence[Adapter],
    family: Family,
    method: str = "ggez_linear",
    wrote: Callable[[int], None] | None = None,
    variant: str | None = None,
) -> MergeReport:
    """The same into an existing empty folder, for callers who make it whole themselves."""
    require_method(method)
    layout = family.layout(base, variant)
    index = WeightIndex(base, layout.weights)
    deltas = [open_delta(adapter.folder, family, index) for adapter in adapters]
    check_space(folder, index.nbytes)
    require_engine()

    from ggez_hub.merging.plan import Weighted, execute

    copy_side_files(base, folder, layout)
    # A beta of 0 is the base bit for bit: the adapter is not even read.
    active = [Weighted(d, a.beta) for d, a in zip(deltas, adapters, strict=True) if a.beta != 0]
    touched: frozenset[str] = frozenset().union(*(w.delta.touched for w in active))
    rewritten = {index.file_of[name] for name in touched}
    for path in layout.weights:
        if path not in rewritten:
            copy_file(base / path, folder / path)
            if wrote is not None:
                wrote(index.files[path].nbytes)
    if rewritten:
        part = WeightIndex(base, tuple(path for path in layout.weights if path in rewritten))
        execute(part, active, folder, method=method, wrote=wrote)
    return MergeReport(len(index), len(touched), index.nbytes)


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
