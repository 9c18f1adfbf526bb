"""A merge of folders that says what it is made of: a card and a lock beside the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.families import Family
from ggez_hub.merging.adapters import FORMS
from ggez_hub.merging.merge import Adapter, MergeReport, merge_into, require_method
from ggez_hub.merging.output import exclusive, whole_folder
from ggez_hub.registry.adapter_files import parts_of
from ggez_hub.registry.lock import LOCK_NAME, record_outputs
from ggez_hub.registry.merge_card import merge_card
from ggez_hub.registry.merge_inputs import CARD_NAME, Source
from ggez_hub.registry.merge_lock import Merge, MergedAdapter, MergedInput, MergeLock
from ggez_hub.weights import sha256_files


@dataclass(frozen=True)
class WeightedSource:
    """An adapter and the weight that it gets."""

    source: Source
    beta: float


@dataclass(frozen=True)
class FolderMerge:
    """What a merge left: the report of the engine, and the lock beside the weights."""

    report: MergeReport
    lock: MergeLock


def merge_folders(
    base: Source,
    adapters: Sequence[WeightedSource],
    out: Path,
    family: Family,
    method: str = "ggez_linear",
    variant: str | None = None,
    wrote: Callable[[int], None] | None = None,
) -> FolderMerge:
    """Merge `adapters` into `base` and write the new folder `out`, with a card and ggez.lock.

    The weights are those of `merging.merge`, which raises what this raises; then nothing is left.
    """
    require_method(method)
    weighted = [Adapter(adapter.source.path, adapter.beta) for adapter in adapters]
    with exclusive(out), whole_folder(out) as folder:
        report = merge_into(folder, base.path, weighted, family, method, wrote, variant)
        merge = _described(base, adapters, family, method, variant)
        (folder / CARD_NAME).write_text(merge_card(merge, base, family, folder), encoding="utf-8")
        lock = MergeLock(merge=merge, outputs=record_outputs(folder))
        (folder / LOCK_NAME).write_text(lock.to_text(), encoding="utf-8")
    return FolderMerge(report, lock)


def _described(
    base: Source,
    adapters: Sequence[WeightedSource],
    family: Family,
    method: str,
    variant: str | None,
) -> Merge:
    weights = sha256_files(base.path, family.layout(base.path, variant).weights)
    return Merge(
        family=family.name,
        method=method,
        variant=variant,
        base=MergedInput(files=weights, **_known(base)),
        adapters=tuple(_adapter(adapter) for adapter in adapters),
    )


def _adapter(adapter: WeightedSource) -> MergedAdapter:
    path = adapter.source.path
    form = next(form.name for form in FORMS if form.holds(path))
    files = sha256_files(path if path.is_dir() else path.parent, parts_of(form, path)[0])
    return MergedAdapter(files=files, form=form, beta=adapter.beta, **_known(adapter.source))


def _known(source: Source) -> dict[str, Any]:
    return {
        "name": source.name,
        "repo": source.repo,
        "revision": source.revision,
        "license": source.license,
    }
