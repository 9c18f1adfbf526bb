"""The LoRA file that diffusers' `save_lora_weights` writes, with the scales in its metadata.

`load_lora_weights` makes the LoraConfig of each component from that metadata
(diffusers/loaders/lora_base.py). Programs that do not read it take every scale for 1.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ggez_hub.merging.adapters.lora_file import DEFAULT_NAME
from ggez_hub.merging.adapters.lora_scales import METADATA_KEY
from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.merging.forms.pairs import ScaledPair, config_of, lora_tensors
from ggez_hub.merging.forms.pipelines import Pipeline
from ggez_hub.merging.forms.tensors import Tensor, write_tensors

ATTENTION = (".q_proj", ".k_proj", ".v_proj", ".out_proj")


def write_diffusers(pairs: Sequence[ScaledPair], pipeline: Pipeline, out: Path) -> None:
    """Write the pairs for `pipeline` into the folder `out`; raises BadAdapter.

    Matrices are copied; refused is what diffusers' loader would lose.
    """
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, Any] = {}
    for component in sorted({pair.component for pair in pairs}):
        own = [pair for pair in pairs if pair.component == component]
        _require_loadable(component, own, pipeline)
        metadata |= {f"{component}.{option}": v for option, v in config_of(own).items()}
        tensors |= lora_tensors((f"{component}.{pair.inner_in_files}", pair) for pair in own)
    text = json.dumps(metadata, indent=2, sort_keys=True, ensure_ascii=False)
    write_tensors(out / DEFAULT_NAME, tensors, {METADATA_KEY: text})


def _require_loadable(component: str, pairs: Sequence[ScaledPair], pipeline: Pipeline) -> None:
    if component not in pipeline.loader.components:
        raise BadAdapter(
            f"the adapter changes the {component}, into which diffusers loads no LoRA of a "
            f"{pipeline.name}",
            "Take the merged form: leave out --as.",
        )
    # Measured with diffusers 0.42.1: it tells the style of a text encoder's keys by these alone.
    if component.startswith("text_encoder") and not any(p.path.endswith(ATTENTION) for p in pairs):
        raise BadAdapter(
            f"the adapter changes no attention module of the {component}: diffusers cannot load "
            "such a LoRA file",
            "Take the merged form: leave out --as.",
        )
