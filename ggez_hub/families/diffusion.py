"""Text-to-image diffusion models: folders of diffusers pipelines.

A pipeline is a folder with `model_index.json`, which names its components, and a sub-folder for
each: https://huggingface.co/docs/diffusers/using-diffusers/write_own_pipeline. Its denoiser is a
UNet (SD 1.5, SDXL) or a transformer (SD3, Flux).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.errors import GgezError
from ggez_hub.families import weight_files
from ggez_hub.families.family import Family, KeyMap, Layout, Read, UnknownLayout, quoted
from ggez_hub.families.transformers_folder import CONFIG
from ggez_hub.families.weight_files import (
    DIFFUSERS,
    PICKLES,
    WeightSet,
    diffusers_weights,
    read_json,
    require_variant,
    variant_of,
)
from ggez_hub.quantities import counted
from ggez_hub.safetensors_header import read_header

if TYPE_CHECKING:
    from torch import nn

MODEL_INDEX = "model_index.json"
DENOISERS = ("unet", "transformer")

TORCH_DTYPE = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}


@dataclass(frozen=True)
class DiffusionFamily(Family):
    """Pipelines of diffusers; only the components that an adapter changes are rewritten."""

    generates = "pictures"
    configuration = frozenset({MODEL_INDEX, CONFIG})
    evaluation_backend = "ggez_hub.evaluation.models.drawing_model:drawing_backend"
    training_backend = "ggez_hub.training.diffusion.backend:BACKEND"
    adapter_form = "diffusers"
    text_modules = re.compile(r"^(lora_te\d?_|text_encoder)")
    picture_modules = re.compile(r"^(?!lora_te\d?_|text_encoder)")

    name: str = "diffusion"
    title: str = "text-to-image diffusion"

    def layout(self, folder: Path, variant: str | None = None) -> Layout:
        """The weight files of every component that the pipeline names.

        As diffusers loads them: components without the variant are taken plain. Checkpoints beside
        them (single files for other programs) are not the pipeline's. Raises UnknownLayout for a
        folder without a model_index.json, GgezError or BadIndex for a pipeline that cannot be
        mirrored completely, NoVariant if no component has the variant.
        """
        if not (folder / MODEL_INDEX).is_file():
            raise UnknownLayout(
                f"{folder} is not a diffusers pipeline", f"It should hold {MODEL_INDEX}."
            )
        components = read_components(folder)
        # Never run here; and carried along it would be run by whoever loads the result with
        # trust_remote_code. A pipeline that needs it is not plain data, so there is no result.
        if code := sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.py")):
            raise GgezError(
                f"{folder} holds Python code: {', '.join(code)}",
                "Code of a model is never run or passed on. If the pipeline loads without it, "
                "merge a copy of the folder without these files.",
            )
        sets = {name: _sets(folder / name) for name in components}
        known = {found.variant for part in sets.values() for found in part} - {None}
        require_variant(folder, variant, known)
        chosen = {name: _one(folder / name, part, variant) for name, part in sets.items() if part}
        if not chosen:
            raise GgezError(f"{folder} names no component with weights")
        return Layout(
            "diffusers",
            tuple(f"{name}/{file}" for name, one in chosen.items() for file in one.files),
            indexes=tuple(f"{name}/{one.index}" for name, one in chosen.items() if one.index),
        )

    def listed_weights(self, paths: Collection[str], read: Read) -> tuple[str, ...]:
        return diffusers_weights(paths, read)

    def key_map(self, folder: Path, names: Collection[str]) -> KeyMap:
        """A path that starts with a component is looked up there, any other in the denoiser."""
        components = {name.partition("/")[0] for name in names}

        def tensor(module: str) -> str | None:
            component, _, path = module.partition(".")
            if component in components:
                return _find(component, path, names)
            found = (_find(name, module, names) for name in DENOISERS)
            return next((name for name in found if name is not None), None)

        return tensor

    def loading_lines(self, layout: Layout, folder: str) -> tuple[str, ...]:
        variants = {variant_of(path) for path in layout.weights} - {None}
        options = f', variant="{variants.pop()}"' if len(variants) == 1 else ""
        # Left to themselves, components come in dtypes that do not go together.
        if dtype := denoiser_dtype(Path(folder), layout):
            options += f", torch_dtype=torch.{dtype}"
        return (
            "import torch",
            "from diffusers import DiffusionPipeline",
            f"pipeline = DiffusionPipeline.from_pretrained({quoted(folder)}{options})",
        )

    def empty_model(self, folder: Path) -> nn.Module:
        import diffusers
        from accelerate import init_empty_weights  # type: ignore[import-untyped]

        components = read_components(folder)
        name = next((name for name in DENOISERS if name in components), None)
        if name is None:
            raise GgezError(f"{folder} has none of the components {', '.join(DENOISERS)}")
        kind = getattr(diffusers, components[name][1])
        with init_empty_weights():
            model: nn.Module = kind.from_config(
                kind.load_config(folder / name, local_files_only=True)
            )
        return model


def denoiser_dtype(folder: Path, layout: Layout) -> str:
    """The name of torch's dtype of most of the denoiser's tensors; "" where it is not there."""
    denoiser = next((p for p in layout.weights if p.partition("/")[0] in DENOISERS), None)
    if denoiser is None or not (path := folder / denoiser).is_file():
        return ""
    dtypes = Counter(info.dtype for info in read_header(path).tensors.values())
    return TORCH_DTYPE.get(dtypes.most_common(1)[0][0], "float32")


def read_components(folder: Path) -> dict[str, tuple[str, str]]:
    """The components of a pipeline: name -> (library, class); raises GgezError."""
    index = read_json(folder / MODEL_INDEX)
    if not isinstance(index.get("_class_name"), str):
        raise GgezError(
            f"{folder / MODEL_INDEX} names no pipeline of diffusers: "
            f"_class_name = {index.get('_class_name')!r}",
            "Pipelines with code of their own are not merged.",
        )
    components = {}
    for name, value in index.items():
        # Other entries are settings, or components that this pipeline is without: [null, null].
        if not isinstance(value, list) or len(value) != 2 or None in value:
            continue
        # The name becomes a path.
        if not name.isidentifier() or not all(isinstance(part, str) for part in value):
            raise GgezError(f"{folder / MODEL_INDEX}: {name!r} is not a component")
        if not (folder / name).is_dir():
            raise GgezError(f"{folder} lacks the component {name!r} that {MODEL_INDEX} names")
        components[name] = (value[0], value[1])
    return components


def _sets(component: Path) -> tuple[WeightSet, ...]:
    """The sets of weights that a component holds; none for a tokenizer."""
    sets = tuple(found for stem in DIFFUSERS for found in weight_files.weight_sets(component, stem))
    known = {file for found in sets for file in found.files}
    names = sorted(path.name for path in component.iterdir() if path.is_file())
    for name in names:
        if name.endswith(".safetensors") and name not in known:
            raise GgezError(
                f"{component / name} is neither the component's weights nor named by an index",
                "Remove it, or complete the pipeline: what it is for cannot be known.",
            )
    if sets:
        return sets
    if pickles := [name for name in names if Path(name).suffix in PICKLES]:
        raise GgezError(
            f"{component} has its weights only in {', '.join(pickles)}, which is never loaded",
            "Use a repository with safetensors, or convert it: "
            "save_pretrained(..., safe_serialization=True).",
        )
    if CONFIG in names:
        raise GgezError(f"{component} has a configuration but no weights")
    return ()


def _one(component: Path, sets: Sequence[WeightSet], variant: str | None) -> WeightSet:
    """The set that diffusers loads; raises GgezError where that depends on its version."""
    found = weight_files.of_variant(component, sets, variant)
    if len(found) > 1:
        raise GgezError(
            f"{component} holds the same weights {counted(len(found), 'time')}: "
            + ", ".join(sorted(one.name for one in found)),
            "Which one is loaded depends on the library. Keep one of them.",
        )
    return found[0]


def _find(component: str, path: str, names: Collection[str]) -> str | None:
    # transformers 5 saves CLIPTextModel without the prefix that older checkpoints have.
    for spelled in (path, f"text_model.{path}", path.removeprefix("text_model.")):
        if (name := f"{component}/{spelled}.weight") in names:
            return name
    return None


FAMILY = DiffusionFamily()
