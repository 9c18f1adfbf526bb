"""What an adapter adds to the weights of its base."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

_PREFIX = "base_model.model."


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
