"""The adapter form of a merge: a LoRA with beta folded into its scale. No torch, no base weights.

theta_global + beta * Delta of a LoRA is the LoRA whose scale is multiplied by beta, so that an
adapter of megabytes does what a merged model does. The matrices are copied byte for byte and
`lora_alpha` is multiplied: nothing is rounded but one decimal number in the configuration.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ggez_hub.merging.adapters.peft import CONFIG, WEIGHTS, read_config
from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.merging.output import copy_file
from ggez_hub.weights import read_header

# What an adapter may hold beside its matrices, or do with them, that is not linear in the scale.
NOT_SCALED = {
    "use_dora": "normalises the merged weight",
    "modules_to_save": "replaces whole modules",
    "bias": "replaces biases",
    "lora_bias": "adds biases",
    "trainable_token_indices": "replaces rows of the embedding",
}
OFF: tuple[object, ...] = (None, False, "none", [], {})


def write_peft(adapter: Path, beta: float, base: str, revision: str, out: Path) -> None:
    """Write the PEFT LoRA in `adapter`, scaled by beta, into the existing folder `out`.

    `base` and `revision` are what its configuration will name. Raises BadAdapter for an adapter
    that does not scale with beta, BadWeights for a broken file.
    """
    config = read_config(adapter)
    for key, reason in NOT_SCALED.items():
        if not any(config.get(key) is off or config.get(key) == off for off in OFF):
            raise BadAdapter(
                f"{adapter}: {key} {reason}, which does not scale with beta",
                "Take the merged form: leave out --as.",
            )
    read_header(adapter / WEIGHTS)
    text = json.dumps(scaled(config, beta, base, revision), indent=2, ensure_ascii=False)
    (out / CONFIG).write_text(text + "\n", encoding="utf-8")
    copy_file(adapter / WEIGHTS, out / WEIGHTS)


def scaled(config: dict[str, Any], beta: float, base: str, revision: str) -> dict[str, Any]:
    """A LoraConfig with every alpha multiplied by beta, on the base at `revision`."""
    return config | {
        "lora_alpha": config["lora_alpha"] * beta,
        "alpha_pattern": {k: v * beta for k, v in (config.get("alpha_pattern") or {}).items()},
        "base_model_name_or_path": base,
        "revision": revision,
        "inference_mode": True,
    }
