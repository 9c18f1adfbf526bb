"""Which modules of a pipeline those of a LoRA file mean, as far as the pipeline's configuration says it.

Paths that diffusers itself gives modules need neither torch nor diffusers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from ggez_hub.extras import require
from ggez_hub.families import Family
from ggez_hub.families.diffusion import MODEL_INDEX
from ggez_hub.families.weight_files import read_json
from ggez_hub.merging.adapters.diffusers_converter import ORIGINAL, Shape
from ggez_hub.merging.adapters.lora_file import DIFFUSERS, PEFT, LoraFile
from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.merging.forms.base import Pipeline

# What diffusers and its scripts wrote before PEFT's names: diffusers/utils/state_dict_utils.py.
OLD_NAMES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\.lora(?:_linear_layer)?\Z"), ""),
    (re.compile(r"\.to_(q|k|v)_lora\Z"), r".to_\1"),
    (re.compile(r"\.to_out_lora\Z"), ".to_out.0"),
)
Places: TypeAlias = "list[tuple[str, tuple[range, ...] | None]]"
# Paths that diffusers gives modules of transformers, and no model's first repository.
OWN = re.compile(r"(?:transformer\.)?(?:single_)?transformer_blocks\.|text_encoder")


def plain_name(style: str, name: str) -> str | None:
    """The path of a module by its name in a file of `style`; None where only diffusers can say."""
    if style == PEFT:
        return name
    if style == DIFFUSERS and not name.startswith("text_encoder"):
        for pattern, replacement in OLD_NAMES:
            if pattern.search(name):
                return pattern.sub(replacement, name).replace(".processor.", ".")
    if style == DIFFUSERS and name.endswith(".lora_linear_layer"):
        return name.removesuffix(".lora_linear_layer")
    return None


def find_places(
    lora: LoraFile, shapes: Mapping[str, Shape], pipeline: Pipeline, family: Family
) -> dict[str, Places]:
    """The modules of the pipeline that each one of the file means, each with its rows of B, or all.

    `shapes` are those of their Deltas. Raises BadAdapter for a name whose meaning is not known, MissingExtra
    where only diffusers can say it and is not installed.
    """
    found: dict[str, Places] = {}
    others: dict[str, Shape] = {}
    for module, shape in shapes.items():
        name = plain_name(lora.style, module)
        if name is not None and (pipeline.denoiser == "unet" or OWN.match(name)):
            found[module] = [(_own(name, lora, pipeline), None)]
        elif pipeline.denoiser == "unet" or module.startswith(("lora_te", "text_encoder")):
            found[module] = _by_diffusers(lora, module, shape, pipeline)
        else:
            _require_read(lora, module, pipeline)
            others[module] = shape
    return found | (_of_transformer(lora, others, pipeline, family) if others else {})


def _own(name: str, lora: LoraFile, pipeline: Pipeline) -> str:
    if name.startswith(ORIGINAL):
        raise BadAdapter(
            f"{lora.file.path}: {name!r} is not a path of a {pipeline.name}",
            "Take the merged form: leave out --as.",
        )
    return name


def _require_read(lora: LoraFile, module: str, pipeline: Pipeline) -> None:
    part = pipeline.loader.kohya.get(pipeline.denoiser)
    renamed = module.startswith("lora_transformer_")
    if renamed and not (part and part.names.fullmatch(module)):
        raise BadAdapter(
            f"{lora.file.path}: diffusers takes {module!r} for another module",
            "Take the merged form: leave out --as.",
        )


def _by_diffusers(lora: LoraFile, module: str, shape: Shape, pipeline: Pipeline) -> Places:
    require("merge", "torch", "diffusers")
    from ggez_hub.merging.adapters.diffusers_converter import Converter

    paths = Converter.of(pipeline.folder, lora.style).convert({module: shape})[module]
    return sorted(paths.items(), key=lambda place: place[0])


def _of_transformer(
    lora: LoraFile, shapes: Mapping[str, Shape], pipeline: Pipeline, family: Family
) -> dict[str, Places]:
    """Places of modules of a transformer by its configuration, as a merge finds them by its weights."""
    require("merge", "torch", "diffusers")
    from ggez_hub.merging.adapters.diffusers_keys import Names

    tensors = _tensors(pipeline)
    found: dict[str, Places] = {}
    for module, places in (
        Names(pipeline.folder, tensors, family, lora.style).places(shapes).items()
    ):
        if isinstance(places, BadAdapter):
            raise places
        if any(place.target is None for place in places):
            raise BadAdapter(
                f"{lora.file.path}: {module!r} is not a path of a {pipeline.name}",
                "The adapter is for another model, or in names that diffusers reads in part.",
            )
        found[module] = sorted(((place.path, place.runs) for place in places), key=lambda p: p[0])
    return found


def _tensors(pipeline: Pipeline) -> list[str]:
    """The names of the denoiser's tensors by its configuration; raises BadAdapter."""
    import diffusers
    from accelerate import init_empty_weights  # type: ignore[import-untyped]

    denoiser = pipeline.denoiser
    try:
        kind = getattr(diffusers, read_json(pipeline.folder / MODEL_INDEX)[denoiser][1])
        with init_empty_weights():
            model = kind.from_config(
                kind.load_config(pipeline.folder / denoiser, local_files_only=True)
            )
        return [f"{denoiser}/{name}" for name in model.state_dict()]
    except Exception as error:  # a config from outside may break a model's code in any way
        raise BadAdapter(
            f"diffusers cannot build the {denoiser} of {pipeline.folder}: {error}",
            "Take the merged form: leave out --as.",
        ) from error
