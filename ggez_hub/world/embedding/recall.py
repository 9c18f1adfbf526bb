"""A quick look: text-to-image recall at 1, with an adapter merged in memory at several betas.

These figures say that training worked; official scores come from the evaluation package, on merged
files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ggez_hub.world.embedding.model import encode_features, encode_text

BETAS = tuple(round(0.1 * step, 1) for step in range(13))

_PREFIX = "base_model.model."


@torch.inference_mode()
def recall_at_1(model: Any, features: Tensor, tokens: Tensor, present: Tensor) -> float:
    """The share of names whose nearest picture, among all concepts, is their own."""
    similarity = encode_text(model, tokens[present]) @ encode_features(model, features).T
    return (similarity.argmax(dim=1) == present.nonzero().squeeze(1)).double().mean().item()


def deltas(adapter: Path) -> dict[str, Tensor]:
    """Weight name -> scale * B @ A in float64, read from an adapter as PEFT saved it."""
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    scale = config["lora_alpha"] / config["r"]
    factors = {
        name.removeprefix(_PREFIX): value.double()
        for name, value in load_file(adapter / "adapter_model.safetensors").items()
    }
    found: dict[str, Tensor] = {}
    for name, down in factors.items():
        if name.endswith(".lora_A.weight"):
            found[name.replace(".lora_A.", ".")] = (
                scale * factors[name.replace(".lora_A.", ".lora_B.")] @ down
            )
        elif name.endswith(".lora_embedding_A"):
            # An embedding table is (tokens, width): the transpose of a linear layer's weight.
            up = factors[name.replace("_embedding_A", "_embedding_B")]
            found[name.replace(".lora_embedding_A", ".weight")] = scale * (up @ down).T
    return found


def beta_curve(
    model: Any,
    adapter: Path,
    features: Mapping[str, Tensor],
    names: Mapping[str, tuple[Tensor, Tensor]],
    betas: Sequence[float] = BETAS,
) -> list[dict[str, Any]]:
    """One row per beta: recall at 1 for each split of `features` and each language of `names`.

    A name is its tokens and whether there is one. `model` is the base; it is left as it was.
    """
    delta = deltas(adapter)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items() if name in delta}
    rows: list[dict[str, Any]] = []
    for beta in betas:
        merged = {name: (weights[name].double() + beta * delta[name]).float() for name in delta}
        model.load_state_dict(merged, strict=False)
        scores = {
            split: {
                language: round(recall_at_1(model, pictures, *name), 4)
                for language, name in names.items()
            }
            for split, pictures in features.items()
        }
        rows.append({"beta": beta, **scores})
    model.load_state_dict(weights, strict=False)
    return rows
