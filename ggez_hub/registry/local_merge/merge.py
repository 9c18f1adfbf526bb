"""A merge of folders, with a card and a lock beside the weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.atomic_files import atomic_folder
from ggez_hub.cards.document import split_front_matter
from ggez_hub.cards.readme import readme_text
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.digests import sha256_files
from ggez_hub.families import Family, require_family
from ggez_hub.merging.adapters import find_form
from ggez_hub.merging.adapters.lora_file import lora_path
from ggez_hub.merging.adapters.peft_config import read_any_config
from ggez_hub.merging.merge import Adapter, MergeReport, merge_into, tensor_names
from ggez_hub.merging.methods import Method, plugins_of
from ggez_hub.output_lock import lock_output
from ggez_hub.registry.constants import CARD_NAME, LOCK_NAME
from ggez_hub.registry.contribution.training_metadata import (
    metadata_of_peft,
    metadata_of_safetensors,
)
from ggez_hub.registry.licences import licence_front
from ggez_hub.registry.local_merge.inputs import ModelSource, WeightedSource
from ggez_hub.registry.lock import (
    MergedAdapter,
    MergedInput,
    MergeLock,
    MergeRecord,
    record_outputs,
)
from ggez_hub.registry.resolution import ResolvedParts
from ggez_hub.safetensors_header import read_header

if TYPE_CHECKING:
    import torch


def merge_card(merge: MergeRecord, base: ModelSource, family: Family, folder: Path) -> str:
    """The README.md of the merged model in `folder`, with the keys that the Hub knows.

    Of the base's own card, which is not carried over, it keeps the pipeline tag. What is not
    known (the repository of a folder, a licence) is left out of the keys.
    """
    layout = family.layout(folder)
    inputs = (merge.base, *merge.adapters)
    repos = [source.repo for source in inputs]
    licences = sorted({source.license for source in inputs})
    front = {
        "base_model": repos if all(repos) else merge.base.repo,
        # A list of bases means a merge on the Hub.
        "base_model_relation": "merge" if all(repos) else None,
        "library_name": layout.library,
        "pipeline_tag": split_front_matter(base.readme)[0].get("pipeline_tag"),
        "tags": ["ggez", "merge", f"ggez-family:{family.name}"],
        **({} if UNKNOWN in licences else licence_front(licences)),
    }
    formula = " + ".join(
        f"{a.beta:g}{' (by part)' if a.parts else ''} * Delta of {a.name}" for a in merge.adapters
    )
    lines = "\n".join(family.loading_lines(layout, "PATH_OF_THIS_FOLDER"))
    parts = [
        f"# {merge.base.name}, adapted",
        f"Made by ggez-hub: {merge.base.name} + {formula}.",
        "\n".join(provenance(merge)),
        f"Load it:\n\n```python\n{lines}\n```",
        "`ggez.lock` beside this file has the sha256 of every input and output; "
        "`ggez-hub verify .` compares them.",
    ]
    return readme_text(front, parts)


def provenance(merge: MergeRecord) -> list[str]:
    """What the result is made of, in the lines of its card that `lock.unstated` compares."""
    lines = [f"- base: {_named(merge.base)}"]
    for adapter in merge.adapters:
        lines.append(f"- adapter: {_named(adapter)}, {adapter.form}, beta {adapter.beta:g}")
        parts = adapter.parts.lines() if adapter.parts else ()
        lines += (f"- betas of {adapter.name} by part: {text}" for text in parts)
    return [
        *lines,
        *([f"- what is float8 in the base is {merge.out_dtype}"] if merge.out_dtype else []),
        f"- method {merge.method}, engine {merge.engine}",
        *(f"- plug-in {record}" for record in merge.plugins),
        f"- merge digest {merge.digest}",
    ]


def _named(source: MergedInput) -> str:
    at = f" at {source.revision}" if source.revision else ", a local folder or file"
    return f"{source.name}{at} (licence: {source.license})"


# The forms that do not know the weights that they were made from.
LORAS = frozenset({"PEFT folder", "LoRA file"})


@dataclass(frozen=True)
class FolderMerge:
    """What a merge left: the report of the engine, and the lock beside the weights."""

    report: MergeReport
    lock: MergeLock

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is not an error, but hardly meant.

        Nothing was changed; an adapter names another base than this one (a mirror of the base has the
        same weights under another name), or only names and shapes say that a LoRA belongs to it.
        """
        base, adapters = self.lock.merge.base.repo, self.lock.merge.adapters
        found = []
        for adapter in adapters:
            named = adapter.trained_on
            claim = (
                f"{adapter.name} {f'claims to be trained on {named}' if named else 'names no base'}"
            )
            if base is not None and named not in (None, base):
                found.append(f"{claim}; this base is {base}")
            elif adapter.form in LORAS and (base is None or named is None):
                found.append(
                    f"{claim}, and what identifies {self.lock.merge.base.name} as its base is that names "
                    "and shapes of tensors fit: other weights of the same shapes would, too"
                )
        if not self.report.touched:
            names = ", ".join(dict.fromkeys(a.name for a in adapters))
            parts = any(a.parts for a in adapters)
            why = f"{names} and the base have the same weights"
            if not (parts or any(a.beta for a in adapters)):
                why = "beta is 0"
            found.append(f"the result is the base, unchanged: {why}")
        return tuple(found)


def merge_folders(
    base: ModelSource,
    adapters: Sequence[WeightedSource],
    out: Path,
    family: Family,
    method: str = "ggez_linear",
    variant: str | None = None,
    wrote: Callable[[int], None] | None = None,
    out_dtype: str | None = None,
    device: torch.device | None = None,
) -> FolderMerge:
    """Merge `adapters` into `base` and write the new folder `out`, with a card and ggez.lock.

    `out_dtype` is what float8 tensors are stored as; what computes, as `device`, is in neither. Raises what `merging.merge` raises; then nothing is left.
    """
    method = str(Method.parse(method))
    weighted, resolved = weigh(base.path, adapters, family, variant)
    with lock_output(out), atomic_folder(out) as folder:
        report = merge_into(
            folder, base.path, weighted, family, method, wrote, variant, out_dtype, device
        )
        merge = _described(base, adapters, resolved, family, method, variant, out_dtype)
        (folder / CARD_NAME).write_text(merge_card(merge, base, family, folder), encoding="utf-8")
        lock = MergeLock(merge=merge, outputs=record_outputs(folder))
        (folder / LOCK_NAME).write_text(lock.to_text(), encoding="utf-8")
    return FolderMerge(report, lock)


def weigh(
    base: Path, adapters: Sequence[WeightedSource], family: Family, variant: str | None = None
) -> tuple[list[Adapter], list[ResolvedParts | None]]:
    """The adapters with their betas on the base, and what the parts of each came to, if it has any.

    Raises UsageProblem where a pattern does not fit, and what the family's layout raises.
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
    base: ModelSource,
    adapters: Sequence[WeightedSource],
    resolved: Sequence[ResolvedParts | None],
    family: Family,
    method: str,
    variant: str | None,
    out_dtype: str | None,
) -> MergeRecord:
    weights = sha256_files(base.path, require_family(base.path, family, variant).weights)
    return MergeRecord(
        family=family.name,
        method=method,
        variant=variant,
        out_dtype=out_dtype,
        base=MergedInput(files=weights, **_known(base)),
        adapters=tuple(map(_adapter, adapters, resolved)),
        plugins=plugins_of(family.name, method),
    )


def _adapter(adapter: WeightedSource, parts: ResolvedParts | None) -> MergedAdapter:
    path = adapter.source.path
    form = find_form(path)
    place = path if path.is_dir() else path.parent
    return MergedAdapter(
        files=sha256_files(place, form.layout(path).weights),
        form=form.name,
        beta=adapter.beta,
        parts=parts,
        trained_on=_trained_on(path, form.name),
        **_known(adapter.source),
    )


def _trained_on(path: Path, form: str) -> str | None:
    if form == "PEFT folder":
        return metadata_of_peft(read_any_config(path)).base
    lora = lora_path(path) if form == "LoRA file" else None
    return None if lora is None else metadata_of_safetensors(read_header(lora).metadata).base


def _known(source: ModelSource) -> dict[str, Any]:
    return {
        "name": source.name,
        "repo": source.repo,
        "revision": source.revision,
        "license": source.license,
    }
