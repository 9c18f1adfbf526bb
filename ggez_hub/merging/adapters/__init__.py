"""Adapter forms: each one a module that turns a folder or a file into a stream of Deltas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ggez_hub.contained_files import require_contained_files
from ggez_hub.errors import GgezError
from ggez_hub.families import Family, Layout, UnknownLayout, detect_family
from ggez_hub.families.weight_files import PICKLES
from ggez_hub.merging.adapters.diffusers_lora import holds_lora_file, open_lora_file
from ggez_hub.merging.adapters.finetune import holds_finetune, open_finetune
from ggez_hub.merging.adapters.lora_file import lora_path
from ggez_hub.merging.adapters.peft import open_peft
from ggez_hub.merging.adapters.peft_config import CONFIG
from ggez_hub.merging.adapters.peft_folder import WEIGHTS, holds_peft
from ggez_hub.merging.adapters.task_vector import MANIFEST, holds_task_vector, open_task_vector
from ggez_hub.merging.adapters.task_vector import WEIGHTS as VECTOR_WEIGHTS
from ggez_hub.merging.deltas import BadAdapter, Delta, WeightIndex
from ggez_hub.quantities import counted


@dataclass(frozen=True)
class Form:
    """One form: what it is called, how a folder or a file of it is known, and how it is opened.

    `holds` looks at names and headers only. `layout` gives the files that hold the adapter, relative
    to its folder, and the library that loads it; `open` raises BadAdapter or WrongBase with the
    reason why the adapter cannot be merged exactly.
    """

    name: str
    kind: Literal["lora", "task_vector", "finetune"]
    holds: Callable[[Path], bool]
    layout: Callable[[Path], Layout]
    open: Callable[[Path, Family, WeightIndex], Delta]


def _file_layout(source: Path) -> Layout:
    path = lora_path(source)
    assert path is not None  # noqa: S101 - the form holds
    return Layout("diffusers", (path.name,))


def _model_layout(source: Path) -> Layout:
    try:
        # What is beside the weights goes with them as it is (file_checks.py): no card records it.
        return detect_family(source).layout(source)
    except UnknownLayout as error:
        raise GgezError(
            f"{source} holds safetensors, but neither an adapter nor a model of a known layout",
            f"{error.message}. {error.hint}",
        ) from error


PEFT, VECTOR = Layout("peft", (CONFIG, WEIGHTS)), Layout("ggez-hub", (MANIFEST, VECTOR_WEIGHTS))
# The first form that knows the folder or the file opens it.
FORMS: tuple[Form, ...] = (
    Form("PEFT folder", "lora", holds_peft, lambda _: PEFT, open_peft),
    Form("task vector", "task_vector", holds_task_vector, lambda _: VECTOR, open_task_vector),
    Form("LoRA file", "lora", holds_lora_file, _file_layout, open_lora_file),
    # Any other folder with weights: after the forms whose folders have a name of their own.
    Form("full fine-tune", "finetune", holds_finetune, _model_layout, open_finetune),
)
# The small files by which they are known: of a hub they are read before any weights.
CONFIGURATION = frozenset({CONFIG, MANIFEST})


def find_form(source: Path) -> Form:
    """The form of the adapter at `source`, a folder or a file.

    Raises BadAdapter if it has none, UnsafeFile for a folder with links that lead out, or pipes.
    """
    if source.is_dir():
        require_contained_files(source, source.iterdir())
        named = sorted(path.parent.name for path in source.glob(f"*/{CONFIG}"))
        if named and not (source / CONFIG).is_file():
            # PEFT saves an adapter that is not called `default` in a folder of its name.
            raise BadAdapter(
                f"{source} holds {counted(len(named), 'adapter')} in folders of their own: "
                f"{', '.join(named)}",
                f"Name one: {source / named[0]}, or --adapter {source}:{named[0]}",
            )
    for form in FORMS:
        if form.holds(source):
            return form
    files = [path for path in sorted(source.rglob("*")) if path.is_file()] or [source]
    if pickles := [path.name for path in files if path.suffix in PICKLES]:
        raise BadAdapter(
            f"{source} holds its weights only in {', '.join(pickles[:3])}, which is never loaded",
            "Convert it to safetensors where you trust it.",
        )
    if not source.exists():
        raise BadAdapter(f"there is nothing at {source}", "Check the path of the adapter.")
    if not any(path.suffix == ".safetensors" for path in files):
        names = ", ".join(path.name for path in files[:3] if path != source) or "no files"
        what = f"holds {names}" if source.is_dir() else "is not a .safetensors file"
        raise BadAdapter(
            f"{source} {what}: there are no weights of an adapter",
            f"An adapter is one of: {', '.join(form.name for form in FORMS)}.",
        )
    raise BadAdapter(
        f"{source} holds safetensors, but few of its keys are those of a LoRA",
        "If it is a model, name its folder; if it is an adapter of another program, save it as a PEFT "
        "folder or in the format of diffusers or kohya.",
    )


def open_delta(source: Path, family: Family, base: WeightIndex) -> Delta:
    """The adapter at `source`, a folder or a file, as a stream of Deltas for `base`.

    Raises BadAdapter if no form knows it; BadAdapter, WrongBase or BadWeights as the form does.
    """
    return find_form(source).open(source, family, base)
