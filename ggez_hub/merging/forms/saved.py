"""Whole parameters of a PEFT folder with beta folded in: base + beta * (saved - base).

modules_to_save, biases, and the rows of trainable tokens replace the base's values, whatever the
scale: beta has to be worked into the values. In float64, stored in the saved dtype.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from ggez_hub.errors import MissingExtra
from ggez_hub.merging.adapters.modules import FLOATING, read_values
from ggez_hub.merging.adapters.peft import open_keys
from ggez_hub.merging.adapters.peft_modules import TOKENS, token_rows_of
from ggez_hub.merging.adapters.peft_saved import replaced_tensor, saved_parameters
from ggez_hub.merging.adapters.peft_source import PeftSource
from ggez_hub.merging.forms.betas import FormBetas
from ggez_hub.merging.forms.tensors import Held

if TYPE_CHECKING:
    import torch


def interpolated(betas: FormBetas) -> dict[str, Held]:
    """The parameters of the PEFT folder of `betas` that replace the base's, by their keys in its file.

    What equals the base is left out. Raises BadAdapter, WrongBase, what the family raises for the
    base, and MissingExtra without torch.
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingExtra("torch", "merge")
    folder, base, index = betas.adapter.folder, betas.base, betas.index
    file, config, keys = open_keys(folder)
    source = PeftSource(folder, file, config, base.family, index)
    changed = saved_parameters(source, keys.parts, keys.saved)
    result: dict[str, Held] = {}
    for path, key in keys.saved.items():
        target, _ = replaced_tensor(source, path)
        if target in changed and file.tensors[key].dtype in FLOATING:
            saved = read_values(file, key)
            beta, dtype = betas.of_tensor(target), file.tensors[key].dtype
            result[key] = _between(index.read(target), saved, beta, dtype)
    for module, parts in keys.parts.items():
        if TOKENS in parts:
            rows = token_rows_of(source, module, parts)
            before = index.read(rows.target)[list(rows.rows)]
            after = read_values(file, rows.key)
            beta, dtype = betas.of_tensor(rows.target), file.tensors[rows.key].dtype
            result[rows.key] = _between(before, after, beta, dtype)
    return result


def _between(before: torch.Tensor, after: torch.Tensor, beta: float, dtype: str) -> Held:
    """before + beta * (after - before) in float64, as bytes of `dtype`."""
    import torch

    start = before.to(torch.float64)
    value = (start + beta * (after - start)).to(getattr(torch, FLOATING[dtype])).contiguous()
    return Held(dtype, tuple(value.shape), value.reshape(-1).view(torch.uint8).numpy().tobytes())
