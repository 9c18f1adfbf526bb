"""Text-to-image diffusion models: folders of diffusers pipelines.

A pipeline is a folder with `model_index.json`, which names its components, and a sub-folder for
each: https://huggingface.co/docs/diffusers/using-diffusers/write_own_pipeline. Its denoiser is a
UNet (SD 1.5, SDXL) or a transformer (SD3, Flux).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.errors import GgezError
from ggez_hub.families.base import KeyMap, Layout, UnknownLayout
from ggez_hub.weights import read_header

MODEL_INDEX = "model_index.json"
DENOISERS = ("unet", "transformer")

# What diffusers and transformers call weights: one file or an index of shards, plain or a variant.
WEIGHT_FILE = re.compile(r"^(?:diffusion_pytorch_model|model)(?:\.(?P<variant>\w+))?\.safetensors$")
SHARD_INDEX = re.compile(
    r"^(?:diffusion_pytorch_model|model)\.safetensors\.index(?:\.(?P<variant>\w+))?\.json$"
)
TORCH_DTYPE = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".msgpack", ".h5"})


class BadPipeline(GgezError):
    """A pipeline is not whole, not plain data, or holds its weights twice."""


@dataclass(frozen=True)
class DiffusionFamily:
    """Pipelines of diffusers; only the components that an adapter changes are rewritten."""

    name: str = "diffusion"
    title: str = "text-to-image diffusion"

    def layout(self, folder: Path) -> Layout:
        """The weight files of every component that the pipeline names.

        Checkpoints beside them (single files for other programs) are not the pipeline's. Raises UnknownLayout for a folder without a model_index.json, BadPipeline for a pipeline
        that cannot be mirrored whole.
        """
        if not (folder / MODEL_INDEX).is_file():
            raise UnknownLayout(
                f"{folder} is no diffusers pipeline", f"It should hold {MODEL_INDEX}."
            )
        components = read_components(folder)
        # Never run here; and carried along it would be run by whoever loads the result with
        # trust_remote_code. A pipeline that needs it is not plain data, so there is no result.
        if code := sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.py")):
            raise BadPipeline(
                f"{folder} holds Python code: {', '.join(code)}",
                "Code of a model is never run or passed on. If the pipeline loads without it, "
                "merge a copy of the folder without these files.",
            )
        weights = [
            f"{component}/{file}"
            for component in components
            for file in _weights(folder / component)
        ]
        if not weights:
            raise BadPipeline(f"{folder} names no component with weights")
        return Layout("diffusers", tuple(weights))

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
        variants = {_variant(path) for path in layout.weights} - {None}
        options = f', variant="{variants.pop()}"' if len(variants) == 1 else ""
        denoiser = next((p for p in layout.weights if p.partition("/")[0] in DENOISERS), None)
        if denoiser is not None and (path := Path(folder) / denoiser).is_file():
            # Left to themselves, components come in dtypes that do not go together.
            dtypes = Counter(info.dtype for info in read_header(path).tensors.values())
            options += (
                f", torch_dtype=torch.{TORCH_DTYPE.get(dtypes.most_common(1)[0][0], 'float32')}"
            )
        return (
            "import torch",
            "from diffusers import DiffusionPipeline",
            f'pipeline = DiffusionPipeline.from_pretrained("{folder}"{options})',
        )


def read_components(folder: Path) -> dict[str, tuple[str, str]]:
    """The components of a pipeline: name -> (library, class); raises BadPipeline."""
    index = read_json(folder / MODEL_INDEX)
    if not isinstance(index.get("_class_name"), str):
        raise BadPipeline(
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
            raise BadPipeline(f"{folder / MODEL_INDEX}: {name!r} is no component")
        if not (folder / name).is_dir():
            raise BadPipeline(f"{folder} lacks the component {name!r} that {MODEL_INDEX} names")
        components[name] = (value[0], value[1])
    return components


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; raises BadPipeline."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadPipeline(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise BadPipeline(f"{path} is no JSON object")
    return value


def _weights(component: Path) -> tuple[str, ...]:
    """The weight files of a component, of whichever one variant it holds; none for a tokenizer."""
    sets: dict[str, tuple[str, ...]] = {}
    indexed: set[str] = set()
    names = sorted(path.name for path in component.iterdir() if path.is_file())
    for name in names:
        if SHARD_INDEX.match(name):
            sets[name] = _shards(component, name)
            indexed.update(sets[name])
    for name in names:
        if WEIGHT_FILE.match(name):
            sets[name] = (name,)
        elif name.endswith(".safetensors") and name not in indexed:
            raise BadPipeline(
                f"{component / name} is neither the component's weights nor named by an index",
                "Remove it, or complete the pipeline: what it is for cannot be known.",
            )
    if len(sets) > 1:
        raise BadPipeline(
            f"{component} holds its weights {len(sets)} times: {', '.join(sorted(sets))}",
            "Merging one would leave the others as they were, and which one is loaded depends on "
            "the `variant` that is asked for. Keep one of them in every component: "
            'hf download ... --exclude "*.fp16.*" --exclude "*.non_ema.*"',
        )
    if sets:
        return next(iter(sets.values()))
    if pickles := [name for name in names if Path(name).suffix in PICKLES]:
        raise BadPipeline(
            f"{component} has its weights only in {', '.join(pickles)}, which is never loaded",
            "Use a repository with safetensors, or convert it: "
            "save_pretrained(..., safe_serialization=True).",
        )
    if "config.json" in names:
        raise BadPipeline(f"{component} has a configuration but no weights")
    return ()


def _shards(component: Path, index: str) -> tuple[str, ...]:
    shards = read_json(component / index).get("weight_map")
    if not isinstance(shards, Mapping) or not shards:
        raise BadPipeline(f"{component / index} has no weight_map")
    names = sorted(map(str, set(shards.values())))
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise BadPipeline(f"{component / index}: {name!r} is no weight file beside it")
        if not (component / name).is_file():
            raise BadPipeline(f"{component / index} names the missing shard {name}")
    return tuple(names)


def _variant(path: str) -> str | None:
    name = re.sub(r"-\d{5}-of-\d{5}", "", path.rpartition("/")[2])
    match = WEIGHT_FILE.match(name)
    return match["variant"] if match else None


def _find(component: str, path: str, names: Collection[str]) -> str | None:
    # transformers 5 saves CLIPTextModel without the prefix that older checkpoints have.
    for spelled in (path, f"text_model.{path}", path.removeprefix("text_model.")):
        if (name := f"{component}/{spelled}.weight") in names:
            return name
    return None


FAMILY = DiffusionFamily()
