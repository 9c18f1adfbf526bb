"""LyCORIS's forms with beta folded in, in kohya's names: LoHa, LoKr, GLoRA, cores, IA3, differences.

A product of several factors scales by any one of them: beta goes into each module's `.alpha`, which
loaders divide by the rank (https://github.com/KohakuBlueleaf/LyCORIS). What has no scale, a LoKr of
two whole factors, a vector of IA3 and a difference, is multiplied itself. Both are rounded once, to float32; every
other tensor is copied. ComfyUI and LyCORIS read such files, diffusers does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.merging.adapters.diffusers_converter import ORIGINAL
from ggez_hub.merging.adapters.lora_file import UNSCALED, LoraFile, LoraModule
from ggez_hub.merging.adapters.lora_scales import Scales
from ggez_hub.merging.adapters.lycoris import LoKr
from ggez_hub.merging.adapters.peft_config import lycoris_rank_and_scale
from ggez_hub.merging.adapters.peft_folder import read_scaling_peft
from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.merging.forms.base import FormBetas, Pipeline
from ggez_hub.merging.forms.tensors import Tensor, float32, multiplied, stored, write_tensors
from ggez_hub.safetensors_header import WeightFile

PLAIN = "LoRA"
# What is multiplied itself, and what has no alpha.
MULTIPLIED = frozenset({"diff", "diff_b", "ia3"})
WITHOUT_ALPHA = MULTIPLIED | {"on_input"}


@dataclass(frozen=True)
class Factored:
    """A module of a file: its keys by part, as they are and as they are written, and its scale.

    `rank` is what its alpha is divided by; None where the product has no alpha.
    """

    name: str
    file: WeightFile
    keys: Mapping[str, str]
    scale: float
    rank: int | None
    written: Mapping[str, str]

    def tensors(self, beta: float, bias_beta: float) -> Iterator[tuple[str, Tensor]]:
        """What is written for it, by key; raises BadAdapter where one scale is for two betas."""
        scale = self.scale * beta
        if "bias" in self.keys and bias_beta != beta:
            raise BadAdapter(
                f"{self.file.path}: one alpha scales the weight and the bias of {self.name!r}, which "
                f"have the betas {beta:g} and {bias_beta:g}",
                "Give both one beta, or take the merged form.",
            )
        for part, key in self.keys.items():
            tensor = stored(self.file, key)
            if part in MULTIPLIED:
                tensor = multiplied(tensor, bias_beta if part == "diff_b" else beta)
            elif part == "lokr_w1" and self.rank is None:
                tensor = multiplied(tensor, scale)
            yield self.written[part], tensor
        # Beside two whole factors it says nothing, but a file has one for all products or none.
        if not self.keys.keys() <= WITHOUT_ALPHA:
            yield f"{self.name}.alpha", float32(1.0 if self.rank is None else scale * self.rank)


def is_lycoris(lora: LoraFile) -> bool:
    """Whether a file holds anything but plain pairs of matrices."""
    return any(form_of(module) != PLAIN for module in lora.modules)


def form_of(module: LoraModule) -> str:
    """What the weight of a module is, as people call it: PLAIN, LoHa, LoKr, and so on."""
    if module.kind == "LoRA":
        return PLAIN if set(module.parts) == {"A", "B"} else "LoRA with cores or biases"
    return module.kind or "difference"


def write_factored(
    modules: Sequence[Factored], betas: FormBetas, pipeline: Pipeline, path: Path
) -> None:
    """Write the modules with their betas in their scales as the new file at `path`."""
    tensors = {
        key: tensor
        for module in modules
        for key, tensor in module.tensors(*betas.of_named(module.name, pipeline))
    }
    write_tensors(path, tensors, {})


def factored_of_file(lora: LoraFile, pipeline: Pipeline) -> list[Factored]:
    """The modules of a file for `pipeline`; raises BadAdapter for what does not scale."""
    scales = Scales.of(lora, pipeline.loader.components)
    return [_of_module(lora, module, scales, pipeline) for module in lora.modules]


def _of_module(lora: LoraFile, module: LoraModule, scales: Scales, pipeline: Pipeline) -> Factored:
    if "magnitude" in module.parts:
        raise BadAdapter(
            f"{lora.file.path}: {module.parts['magnitude']!r} normalises the merged weight, which "
            "does not scale with beta",
            "Take the merged form: leave out --as.",
        )
    name = module.name
    if "." in name and not name.startswith(ORIGINAL):
        # diffusers writes the path itself.
        component, _, rest = name.partition(".")
        inside = component in pipeline.loader.components
        name = kohya_name(rest, component, pipeline) if inside else kohya_name(name, "", pipeline)
    written = {part: name + key.removeprefix(module.name) for part, key in module.parts.items()}
    if module.kind in UNSCALED:
        return Factored(name, lora.file, module.parts, 1.0, None, written)
    scale, rank = scales.scale(module, module.name), scales.rank(module)
    return Factored(name, lora.file, module.parts, scale, rank, written)


def kohya_name(path: str, component: str, pipeline: Pipeline) -> str:
    """kohya's name for a module of a component, or of the denoiser if none is given."""
    part = pipeline.loader.kohya.get(component or pipeline.denoiser)
    if part is None:
        raise BadAdapter(
            f"{path!r} of a {pipeline.name} has no name in a kohya file",
            "Take --as peft, or the merged form.",
        )
    return f"{part.prefix}_{path.replace('.', '_')}"


def factored_of_peft(folder: Path, pipeline: Pipeline) -> list[Factored]:
    """The modules of a PEFT LoHa or LoKr on the denoiser of `pipeline`; raises BadAdapter."""
    peft = read_scaling_peft(folder, ("LOHA", "LOKR"))
    file, keys = peft.file, peft.keys
    if keys.saved:
        raise BadAdapter(
            f"{folder} has the whole parameter {next(iter(keys.saved))!r}, for which LoRA files "
            "have no place",
            "Take --as peft, or the merged form.",
        )
    found = []
    for module, parts in sorted(keys.parts.items()):
        _, scale = lycoris_rank_and_scale(peft.config, module, file.path)
        name = kohya_name(module, "", pipeline)
        written = {part: f"{name}.{part}" for part in parts}
        found.append(Factored(name, file, parts, scale, _rank(file, parts), written))
    return found


def _rank(file: WeightFile, parts: Mapping[str, str]) -> int | None:
    if "hada_w1_b" in parts:
        return file.tensors[parts["hada_w1_b"]].shape[0]
    return LoKr.own_rank(file, parts)
