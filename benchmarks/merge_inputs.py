"""Synthetic inputs of the merge benchmark: a Llama in shards, and a LoRA on every linear layer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

RANK = 16


@dataclass(frozen=True)
class Size:
    """A Llama's shape; `shards` weight files."""

    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    shards: int

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """The linear modules of a layer: (out, in). One head in eight has keys of its own."""
        h, i = self.hidden, self.intermediate
        return {
            "self_attn.q_proj": (h, h),
            "self_attn.k_proj": (h // 8, h),
            "self_attn.v_proj": (h // 8, h),
            "self_attn.o_proj": (h, h),
            "mlp.gate_proj": (i, h),
            "mlp.up_proj": (i, h),
            "mlp.down_proj": (h, i),
        }

    @property
    def largest(self) -> int:
        """Bytes of the largest tensor."""
        return 2 * self.hidden * max(self.intermediate, self.vocabulary)


# 546 M parameters; few words, so that the layers are what is measured.
FULL = Size(12, 2048, 5632, 4096, 3)
SMALL = Size(3, 1024, 2816, 2048, 3)
# About 50 MB, for what a command costs beside the work.
COMMAND = Size(2, 1024, 2816, 2048, 1)


def write_base(folder: Path, size: Size) -> Path:
    """A model in float16 with random weights, in the layout of transformers."""
    folder.mkdir(parents=True)
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (size.vocabulary, size.hidden)
    }
    for layer in range(size.layers):
        place = f"model.layers.{layer}"
        shapes |= {f"{place}.{name}.weight": shape for name, shape in size.linears.items()}
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{place}.{norm}.weight"] = (size.hidden,)
    shapes["model.norm.weight"] = (size.hidden,)
    shapes["lm_head.weight"] = (size.vocabulary, size.hidden)
    generator = torch.Generator().manual_seed(0)
    names = list(shapes)
    weight_map: dict[str, str] = {}
    for shard in range(size.shards):
        file = f"model-{shard + 1:05d}-of-{size.shards:05d}.safetensors"
        part = names[len(names) * shard // size.shards : len(names) * (shard + 1) // size.shards]
        weight_map |= dict.fromkeys(part, file)
        tensors = {n: (torch.randn(shapes[n], generator=generator) * 0.02).half() for n in part}
        save_file(tensors, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": size.hidden,
        "intermediate_size": size.intermediate,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.hidden // 64,
        "num_key_value_heads": size.hidden // 512,
        "vocab_size": size.vocabulary,
        "tie_word_embeddings": False,
        "dtype": "float16",
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_adapter(folder: Path, size: Size) -> Path:
    """A LoRA as PEFT writes it, on every linear layer of the blocks."""
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(1)
    state = {}
    for layer in range(size.layers):
        for name, (out, inputs) in size.linears.items():
            key = f"base_model.model.model.layers.{layer}.{name}"
            for part, shape in (("A", (RANK, inputs)), ("B", (out, RANK))):
                values = torch.randn(shape, generator=generator) * 0.02
                state[f"{key}.lora_{part}.weight"] = values
    save_file(state, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "target_modules": sorted(name.rpartition(".")[2] for name in size.linears),
        "base_model_name_or_path": "",
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def write_open_clip_like(folder: Path, base: Path) -> Path:
    """The same weights as the one file of an open_clip folder: no model is built to merge it."""
    folder.mkdir(parents=True)
    (source,) = base.glob("*.safetensors")
    (folder / "open_clip_model.safetensors").write_bytes(source.read_bytes())
    (folder / "open_clip_config.json").write_text("{}")
    return folder
