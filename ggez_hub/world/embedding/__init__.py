"""The embedding family: a small CLIP and its Thai and Southeast-Asian LoRA adapters."""

from ggez_hub.world.embedding.building import build

__all__ = ["build"]
