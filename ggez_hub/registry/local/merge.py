"""A merge of folders that says what it is made of: a card and a lock beside the weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.atomic_files import atomic_folder
from ggez_hub.families import Family
from ggez_hub.merging.adapters import FORMS
from ggez_hub.merging.adapters.lora_file import lora_path
from ggez_hub.merging.adapters.peft_config import read_any_config
from ggez_hub.merging.merge import (
    Adapter,
    MergeReport,
    merge_into,
    require_method,
    tensor_names,
)
from ggez_hub.output_lock import lock_output
from ggez_hub.registry.contributing.adapter_files import parts_of
from ggez_hub.registry.contributing.training_metadata import told_by_config, told_by_metadata
from ggez_hub.registry.local.card import merge_card
from ggez_hub.registry.local.inputs import CARD_NAME, Source, WeightedSource
from ggez_hub.registry.local.lock import Merge, MergedAdapter, MergedInput, MergeLock
from ggez_hub.registry.lock import record_outputs
from ggez_hub.registry.parts import ResolvedParts
from ggez_hub.registry.places import LOCK_NAME
from ggez_hub.weights import read_header, sha256_files


@dataclass(frozen=True)
class FolderMerge:
    """What a merge left: the report of the engine, and the lock beside the weights."""

    report: MergeReport
    lock: MergeLock

    @property
    def remarks(self) -> tuple[str, ...]:
        """Adapters that name another base than this one, as far as both are known by name.

        A mirror of the base has the same weights under another name, so that it is no error.
        """
        base = self.lock.merge.base.repo
        return tuple(
            f"{a.name} says that it was trained on {a.trained_on}; this base is {base}"
            for a in self.lock.merge.adapters
            if base is not None and a.trained_on not in (None, base)
        )


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
    weighted, resolved = weigh(base.path, adapters, family, variant)
    with lock_output(out), atomic_folder(out) as folder:
        report = merge_into(folder, base.path, weighted, family, method, wrote, variant)
        merge = _described(base, adapters, resolved, family, method, variant)
        (folder / CARD_NAME).write_text(merge_card(merge, base, family, folder), encoding="utf-8")
        lock = MergeLock(merge=merge, outputs=record_outputs(folder))
        (folder / LOCK_NAME).write_text(lock.to_text(), encoding="utf-8")
    return FolderMerge(report, lock)


def weigh(
    base: Path, adapters: Sequence[WeightedSource], family: Family, variant: str | None = None
) -> tuple[list[Adapter], list[ResolvedParts | None]]:
    """The adapters with their betas on the base, and what the parts of each came to, if it has any.

    Raises BadParts where a pattern does not fit, and what the family's layout raises.
    """
    names: Collection[str] = ()
    if any(adapter.parts for adapter in adapters):
        names = tensor_names(base, family, variant)
    resolved = [
        None if adapter.parts is None else ResolvedParts.of(adapter.parts, names, adapter.beta)
        for adapter in adapters
    ]
    weighted = [
        Adapter(adapter.source.path, adapter.beta, parts.betas if parts else {})
        for adapter, parts in zip(adapters, resolved, strict=True)
    ]
    return weighted, resolved


def _described(
    base: Source,
    adapters: Sequence[WeightedSource],
    resolved: Sequence[ResolvedParts | None],
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
        adapters=tuple(map(_adapter, adapters, resolved)),
    )


def _adapter(adapter: WeightedSource, parts: ResolvedParts | None) -> MergedAdapter:
    path = adapter.source.path
    form = next(form.name for form in FORMS if form.holds(path))
    files = sha256_files(path if path.is_dir() else path.parent, parts_of(form, path)[0])
    return MergedAdapter(
        files=files,
        form=form,
        beta=adapter.beta,
        parts=parts,
        trained_on=_trained_on(path, form),
        **_known(adapter.source),
    )


def _trained_on(path: Path, form: str) -> str | None:
    """The repository that an adapter's own files name as its base, if they name one."""
    if form == "PEFT folder":
        return told_by_config(read_any_config(path)).base
    lora = lora_path(path) if form == "LoRA file" else None
    return None if lora is None else told_by_metadata(read_header(lora).metadata).base


def _known(source: Source) -> dict[str, Any]:
    return {
        "name": source.name,
        "repo": source.repo,
        "revision": source.revision,
        "license": source.license,
    }
