"""PEFT folders with beta folded in.

A LoRA, LoHa or LoKr of a PEFT folder keeps its matrices byte for byte; its alphas are multiplied.
What was saved as it is beside them (modules_to_save, biases, token rows) becomes base + beta * (saved
- base), in float64 and stored in the saved dtype: that needs the base.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.extras import require
from ggez_hub.merging.adapters.module_delta import FLOATING, read_values
from ggez_hub.merging.adapters.peft_config import CONFIG, is_off, read_scaling_config
from ggez_hub.merging.adapters.peft_folder import (
    LORA_BIAS,
    PREFIX,
    TOKENS,
    WEIGHTS,
    PeftFolder,
    PeftOnBase,
    read_scaling_peft,
)
from ggez_hub.merging.adapters.saved_parameters import (
    replaced_tensor,
    saved_parameters,
    token_rows_of,
)
from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.merging.forms.base import FormBase, FormBetas, Pipeline
from ggez_hub.merging.forms.pairs import (
    ScaledPair,
    config_of,
    lora_tensors,
    scaled_by_module,
    scaled_config,
)
from ggez_hub.merging.forms.tensors import Tensor, require_finite, stored, write_tensors
from ggez_hub.merging.side_files import copy_file
from ggez_hub.safetensors_header import WeightFile

if TYPE_CHECKING:
    import torch


def interpolated(peft: PeftFolder, betas: FormBetas) -> dict[str, Tensor]:
    """The parameters of the PEFT folder of `betas` that replace the base's, by their keys in its file.

    What equals the base is left out. Raises BadAdapter, WrongBase, what the family raises for the
    base, and MissingExtra without torch.
    """
    require("merge", "torch")
    file, keys, index = peft.file, peft.keys, betas.index
    source = peft.on(betas.base.family, index)
    changed = saved_parameters(source, keys.parts, keys.saved)
    result: dict[str, Tensor] = {}
    for path, key in keys.saved.items():
        target, _ = replaced_tensor(source, path)
        if target in changed and file.tensors[key].dtype in FLOATING:
            result[key] = _between(index.read(target), file, key, betas.of_tensor(target))
    for module, parts in keys.parts.items():
        if TOKENS in parts:
            rows = token_rows_of(source, module, parts)
            before = index.read(rows.target)[list(rows.rows)]
            result[rows.key] = _between(before, file, rows.key, betas.of_tensor(rows.target))
    return result


def _between(before: torch.Tensor, file: WeightFile, key: str, beta: float) -> Tensor:
    """before + beta * (saved - before) in float64, stored in the saved dtype."""
    import torch

    dtype, start = file.tensors[key].dtype, before.to(torch.float64)
    value = start + beta * (read_values(file, key) - start)
    held = value.to(getattr(torch, FLOATING[dtype])).contiguous().reshape(-1).view(torch.uint8)
    return Tensor(dtype, tuple(value.shape), held.numpy().tobytes)


# What a config says when whole parameters are saved beside the matrices.
SAVES_WHOLE = ("modules_to_save", "bias", "trainable_token_indices")


def saves_whole(folder: Path) -> bool:
    """Whether the PEFT folder holds parameters that replace the base's.

    By its config, and by its weights if they are there already. Raises BadAdapter, BadWeights.
    """
    if not (folder / WEIGHTS).is_file():
        config = read_scaling_config(folder)
        return any(not is_off(config.get(option)) for option in SAVES_WHOLE)
    return _saves_whole(read_scaling_peft(folder))


def _saves_whole(peft: PeftFolder) -> bool:
    return bool(peft.keys.saved) or any(TOKENS in parts for parts in peft.keys.parts.values())


def rescale_peft(betas: FormBetas, out: Path) -> None:
    """Write the PEFT folder of `betas` with them folded in into the folder `out`.

    Raises BadAdapter for a DoRA, BadWeights, and where whole parameters are saved, or tensors have
    betas of their own, what opening the base raises.
    """
    folder, peft = betas.adapter.folder, read_scaling_peft(betas.adapter.folder)
    file, config = peft.file, peft.config
    if not is_off(config.get("use_dora")):
        raise BadAdapter(
            f"{folder}: use_dora normalises the merged weight, which does not scale with beta",
            "Take the merged form: leave out --as.",
        )
    if _saves_whole(peft):
        tensors = {key: stored(file, key) for key in file.tensors}
        write_tensors(out / WEIGHTS, tensors | interpolated(peft, betas), {})
    else:
        require_finite(file)
        copy_file(folder / WEIGHTS, out / WEIGHTS)
    if betas.are_one:
        scaled = scaled_config(config, betas.adapter.beta)
    elif not is_off(config.get("target_parameters")):
        raise BadAdapter(
            f"{folder}: one alpha scales a stack of experts (target_parameters), whose tensors have betas "
            "of their own",
            "Give all of them one beta, or take the merged form: leave out --as.",
        )
    else:
        source = peft.on(betas.base.family, betas.index)
        modules = {
            module: _beta_of(source, module, parts, betas)
            for module, parts in peft.keys.parts.items()
            if TOKENS not in parts
        }
        scaled = scaled_by_module(config, modules, folder)
    _write_config(scaled, betas.base, out)


def _beta_of(source: PeftOnBase, module: str, parts: Mapping[str, str], betas: FormBetas) -> float:
    """The beta of an adapted module; raises BadAdapter where its one alpha is for two."""
    beta = betas.of_tensor(source.weight(module))
    if LORA_BIAS in parts:
        bias = betas.of_tensor(source.parameter(module, "bias"))
        if bias != beta:
            raise BadAdapter(
                f"{source.folder}: one alpha scales the weight and the bias of {module!r}, which "
                f"have the betas {beta:g} and {bias:g}",
                "Give both one beta, or take the merged form: leave out --as.",
            )
    return beta


def write_peft(pairs: Sequence[ScaledPair], pipeline: Pipeline, base: FormBase, out: Path) -> None:
    """Write pairs that change the denoiser of `pipeline` as a PEFT folder; raises BadAdapter."""
    if others := sorted({pair.component for pair in pairs} - {pipeline.denoiser}):
        raise BadAdapter(
            f"the adapter changes the {', '.join(others)} too, and a PEFT folder adapts one model",
            "Take --as diffusers, or the merged form.",
        )
    write_tensors(
        out / WEIGHTS, lora_tensors((f"{PREFIX}{pair.inner}", pair) for pair in pairs), {}
    )
    # As one expression: in a list, `proj_out` would name every module of which it is the last step.
    paths = "|".join(re.escape(pair.inner) for pair in pairs)
    _write_config(config_of(pairs) | {"target_modules": f"(?:{paths})"}, base, out)


def _write_config(config: dict[str, Any], base: FormBase, out: Path) -> None:
    named = config | {"base_model_name_or_path": base.name, "revision": base.revision}
    text = json.dumps(named, indent=2, ensure_ascii=False)
    (out / CONFIG).write_text(text + "\n", encoding="utf-8")
