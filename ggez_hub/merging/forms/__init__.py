"""Adapter forms of a merge: megabytes with beta folded in that do what a merged model does.

theta_global + beta * Delta of a LoRA is the LoRA whose scale is multiplied by beta. Matrices are
copied byte for byte, only scales change; what does not scale that way is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ggez_hub.atomic_files import atomic_folder
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.families import Family
from ggez_hub.merging.adapters.lora_file import KOHYA, lora_path, read_lora
from ggez_hub.merging.adapters.peft_config import read_any_config
from ggez_hub.merging.adapters.peft_folder import holds_peft
from ggez_hub.merging.adapters.task_vector import holds_task_vector
from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.merging.forms.adapter_facts import AdapterFacts, facts_of
from ggez_hub.merging.forms.base import FormBase, FormBetas, Need, Pipeline, read_pipeline
from ggez_hub.merging.forms.lora_files import NAME, rescale_kohya, write_diffusers, write_kohya
from ggez_hub.merging.forms.lycoris import (
    factored_of_file,
    factored_of_peft,
    is_lycoris,
    write_factored,
)
from ggez_hub.merging.forms.pairs import (
    ScaledPair,
    pairs_of_file,
    pairs_of_peft,
    scaled_by,
    without_zeros,
)
from ggez_hub.merging.forms.peft import rescale_peft, saves_whole, write_peft
from ggez_hub.merging.forms.runtimes import base_lines
from ggez_hub.merging.merge import Adapter
from ggez_hub.output_lock import lock_output

__all__ = ["ADAPTER_FORMS", "AdapterForm", "FormBase", "Need", "get_adapter_form"]


@dataclass(frozen=True)
class AdapterForm:
    """One form that an adapter can be given.

    need   what of the base is read for an adapter, of which only the configuration may be there
           yet; None for one that has no configuration
    write  (adapter, base, existing empty folder); raises BadAdapter with the way out for what this
           form cannot hold exactly

    With betas by part all of the base is needed: its tensors' names decide the scales.
    """

    need: Callable[[Path | None], Need]
    write: Callable[[Adapter, FormBase, Path], None]


def get_adapter_form(name: str) -> AdapterForm:
    """The adapter form of that name; raises UsageProblem that lists what there is."""
    if name not in ADAPTER_FORMS:
        raise UsageProblem(
            f"there is no adapter form {name!r}", f"Adapter forms: {', '.join(ADAPTER_FORMS)}."
        )
    return ADAPTER_FORMS[name]


def _need_of_peft(adapter: Path | None) -> Need:
    if adapter is None or not holds_peft(adapter):
        return Need.CONFIGURATION
    return Need.WEIGHTS if saves_whole(adapter) else Need.NOTHING


def _need_of_files(adapter: Path | None) -> Need:
    return Need.CONFIGURATION


def _as_peft(adapter: Adapter, base: FormBase, out: Path) -> None:
    if holds_peft(adapter.folder):
        rescale_peft(FormBetas(adapter, base), out)
        return
    pairs, pipeline = _pairs(adapter, base)
    write_peft(pairs, pipeline, base, out)


def _as_diffusers(adapter: Adapter, base: FormBase, out: Path) -> None:
    pairs, pipeline = _pairs(adapter, base)
    write_diffusers(pairs, pipeline, out)


def _as_kohya(adapter: Adapter, base: FormBase, out: Path) -> None:
    pipeline = read_pipeline(base.folder, base.name)
    folder, betas = adapter.folder, FormBetas(adapter, base)
    path = None if holds_peft(folder) else lora_path(folder)
    if path is not None and (lora := read_lora(path)).style == KOHYA:
        if is_lycoris(lora):
            write_factored(factored_of_file(lora, pipeline), betas, pipeline, out / NAME)
        else:
            rescale_kohya(lora, betas, pipeline, out)
        return
    if holds_peft(folder) and read_any_config(folder)["peft_type"] in {"LOHA", "LOKR"}:
        write_factored(factored_of_peft(folder, pipeline), betas, pipeline, out / NAME)
        return
    pairs, pipeline = _pairs(adapter, base)
    write_kohya(pairs, pipeline, out)


def _pairs(weighted: Adapter, base: FormBase) -> tuple[list[ScaledPair], Pipeline]:
    """The adapter as scaled pairs with its betas folded in, and the pipeline that it is for."""
    adapter, betas = weighted.folder, FormBetas(weighted, base)
    if holds_task_vector(adapter) or not (holds_peft(adapter) or lora_path(adapter)):
        raise BadAdapter(
            f"{adapter} is not a LoRA, and only those have an adapter form",
            "Take the merged form, or make a LoRA of it: ggez-hub extract.",
        )
    pipeline = read_pipeline(base.folder, base.name)
    path = None if holds_peft(adapter) else lora_path(adapter)
    pairs = (
        pairs_of_peft(adapter, pipeline)
        if path is None
        else pairs_of_file(path, pipeline, base.family)
    )
    scaled = scaled_by(pairs, [betas.of_module(pair.path) for pair in pairs])
    return (scaled if betas.are_one else without_zeros(scaled)), pipeline


ADAPTER_FORMS: Mapping[str, AdapterForm] = {
    "peft": AdapterForm(_need_of_peft, _as_peft),
    "diffusers": AdapterForm(_need_of_files, _as_diffusers),
    "kohya": AdapterForm(_need_of_files, _as_kohya),
}


def write_adapter(
    base: Path,
    adapters: Sequence[Adapter],
    out: Path,
    family: Family,
    form: str,
    variant: str | None = None,
    named: tuple[str, str | None] | None = None,
) -> AdapterFacts:
    """Write one adapter, with its betas folded in, as the new folder `out`; returns what it holds.

    `base` is the folder that it is for; its weights, of `variant`, are read only if the adapter saves
    parameters in full, their headers if tensors have betas of their own. `named` is what the base is
    called, with its commit, where that is not the folder. Raises UsageProblem for several adapters or
    an unknown form, OutputExists, and what the form raises; then nothing is left behind.
    """
    chosen = get_adapter_form(form)
    require_one(form, len(adapters))
    (adapter,) = adapters
    with lock_output(out), atomic_folder(out) as folder:
        name, revision = named or (str(base), None)
        chosen.write(adapter, FormBase(name, revision, family, base, variant), folder)
        facts = facts_of(form, family.name, name, revision or "", folder, str(out))
    # The weights of a base need not be here for its adapter to be written.
    with suppress(GgezError):
        opened = base_lines(family, family.layout(base, variant), name, revision or "")
        return replace(facts, base_lines=opened)
    return facts


def require_one(form: str, count: int) -> None:
    """Raise UsageProblem for several adapters: a sum of LoRAs is not a LoRA of their ranks."""
    if count != 1:
        raise UsageProblem(
            f"--as {form} takes one adapter, not {count}", "Take the merged form: leave out --as."
        )
