"""Adapter forms: each one a module that turns a folder or a file into a stream of Deltas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.families import Family
from ggez_hub.merging.adapters.diffusers_lora import holds_lora_file, open_lora_file
from ggez_hub.merging.adapters.finetune import holds_finetune, open_finetune
from ggez_hub.merging.adapters.peft import open_peft
from ggez_hub.merging.adapters.peft_config import CONFIG
from ggez_hub.merging.adapters.peft_folder import holds_peft
from ggez_hub.merging.adapters.task_vector import MANIFEST, holds_task_vector, open_task_vector
from ggez_hub.merging.deltas import BadAdapter, Delta, WeightIndex

PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl"})


@dataclass(frozen=True)
class Form:
    """One form: what it is called, how a folder or a file of it is known, and how it is opened.

    `holds` looks at names and headers only. `open` raises BadAdapter or WrongBase with the reason
    why the adapter cannot be merged exactly.
    """

    name: str
    holds: Callable[[Path], bool]
    open: Callable[[Path, Family, WeightIndex], Delta]


FINETUNE = Form("full fine-tune", holds_finetune, open_finetune)
# The first form that knows the folder or the file opens it.
FORMS: tuple[Form, ...] = (
    Form("PEFT folder", holds_peft, open_peft),
    Form("task vector", holds_task_vector, open_task_vector),
    Form("LoRA file", holds_lora_file, open_lora_file),
    # Any other folder with weights: after the forms whose folders have a name of their own.
    FINETUNE,
)
# The small files by which they are known: of a hub they are read before any weights.
CONFIGURATION = frozenset({CONFIG, MANIFEST})


def is_finetune(source: Path) -> bool:
    """Whether an adapter is a full fine-tune, by names and headers only."""
    return next((form for form in FORMS if form.holds(source)), None) is FINETUNE


def open_delta(source: Path, family: Family, base: WeightIndex) -> Delta:
    """The adapter at `source`, a folder or a file, as a stream of Deltas for `base`.

    Raises BadAdapter if no form knows it; BadAdapter, WrongBase or BadWeights as the form does.
    """
    for form in FORMS:
        if form.holds(source):
            return form.open(source, family, base)
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    if pickles := [path.name for path in files if path.suffix in PICKLES]:
        raise BadAdapter(
            f"{source} holds its weights only in {', '.join(pickles)}, which is never loaded",
            "Convert it to safetensors where you trust it.",
        )
    known = ", ".join(form.name for form in FORMS)
    raise BadAdapter(f"{source} holds no adapter of a known form", f"Known forms: {known}.")
