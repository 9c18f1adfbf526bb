"""Reading an adapter of any form as scaled pairs.

torch and diffusers are imported for LoRA files whose names only diffusers' converters understand:
kohya's, in which dots and underscores are the same.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from ggez_hub.errors import MissingExtra
from ggez_hub.merging.adapters.diffusers_keys import ORIGINAL
from ggez_hub.merging.adapters.lora_file import DIFFUSERS, PEFT, LoraFile, LoraModule, read_lora
from ggez_hub.merging.adapters.lora_scales import Scales
from ggez_hub.merging.adapters.peft import open_keys
from ggez_hub.merging.adapters.peft_config import is_off, scale_of
from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.merging.forms.pairs import ScaledPair
from ggez_hub.merging.forms.pipelines import Pipeline
from ggez_hub.merging.forms.tensors import Picked, Stored

# What diffusers and its scripts wrote before PEFT's names: diffusers/utils/state_dict_utils.py.
OLD_NAMES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\.lora(?:_linear_layer)?$"), ""),
    (re.compile(r"\.to_(q|k|v)_lora$"), r".to_\1"),
    (re.compile(r"\.to_out_lora$"), ".to_out.0"),
)


def pairs_of_peft(folder: Path, pipeline: Pipeline) -> list[ScaledPair]:
    """The pairs of a PEFT folder for the denoiser of `pipeline`.

    Raises BadAdapter for what is no plain LoRA, and what reading the folder raises.
    """
    file, config, keys = open_keys(folder, ("LORA",))
    for option in ("use_dora", "fan_in_fan_out", "lora_bias"):
        if not is_off(config.get(option)):
            raise _only_peft(folder, option)
    if keys.saved:
        raise _only_peft(folder, f"the whole parameter {next(iter(keys.saved))!r}")
    pairs = []
    for module, parts in sorted(keys.parts.items()):
        if set(parts) != {"lora_A", "lora_B"}:
            raise _only_peft(folder, f"{', '.join(sorted(parts))} on {module!r}")
        a, b = Stored(file, parts["lora_A"]), Stored(file, parts["lora_B"])
        scale = scale_of(config, module, (a.shape or (0,))[0], file.path)
        pairs.append(ScaledPair(f"{pipeline.denoiser}.{module}", a, b, scale))
    return pairs


def _only_peft(folder: Path, what: str) -> BadAdapter:
    return BadAdapter(
        f"{folder} has {what}, for which LoRA files have no place",
        "Take --as peft, or the merged form.",
    )


def pairs_of_file(path: Path, pipeline: Pipeline) -> list[ScaledPair]:
    """The pairs of a LoRA file for `pipeline`, in any of the styles.

    Raises BadAdapter for what cannot be converted without rounding, MissingExtra where only
    diffusers can say what a name means and it is not installed, BadWeights.
    """
    lora = read_lora(path)
    components = pipeline.loader.components
    scales = Scales.of(lora, components)
    pairs = []
    for module in lora.modules:
        if lora.style == PEFT and module.name.startswith(ORIGINAL):
            raise BadAdapter(
                f"{path}: {module.name!r} is no path of a {pipeline.name}",
                "Take the merged form: leave out --as.",
            )
        a, b = matrices(lora, module)
        for place, runs in _places(lora, module, (b.shape[0], *a.shape[1:]), pipeline):
            scale = scales.scale(module, place)
            inside = place.partition(".")[0] in components
            full = place if inside else f"{pipeline.denoiser}.{place}"
            pairs.append(ScaledPair(full, a, b if runs is None else Picked(b, runs), scale))
    return pairs


def matrices(lora: LoraFile, module: LoraModule) -> tuple[Stored, Stored]:
    """A and B of a module; raises BadAdapter if it is anything but a plain LoRA."""
    if module.kind != "LoRA" or set(module.parts) != {"A", "B"}:
        raise BadAdapter(
            f"{lora.file.path}: {module.name!r} is no plain LoRA: it holds "
            f"{', '.join(sorted(module.parts.values()))}",
            "It has no adapter form. Take the merged form: leave out --as.",
        )
    return Stored(lora.file, module.parts["A"]), Stored(lora.file, module.parts["B"])


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


def _places(
    lora: LoraFile, module: LoraModule, shape: tuple[int, ...], pipeline: Pipeline
) -> list[tuple[str, tuple[range, ...] | None]]:
    """The modules of the pipeline that one of the file means, each with its rows of B, or all."""
    if (name := plain_name(lora.style, module.name)) is not None:
        return [(name, None)]
    part = pipeline.loader.kohya.get(pipeline.denoiser)
    renamed = module.name.startswith("lora_transformer_")
    if renamed and not (part and part.names.fullmatch(module.name)):
        raise BadAdapter(
            f"{lora.file.path}: diffusers takes {module.name!r} for another module",
            "Take the merged form: leave out --as.",
        )
    for library in ("torch", "diffusers"):
        if importlib.util.find_spec(library) is None:
            raise MissingExtra(library, "merge")
    from ggez_hub.merging.adapters.diffusers_keys import Converter

    converter = Converter.of(pipeline.folder, lora.style)
    return sorted(converter.convert(module.name, shape).items(), key=lambda place: place[0])
