"""The embedding family: a small CLIP and its Thai and Southeast-Asian LoRA adapters."""

from demo_world.embedding.builder import build

__all__ = ["build"]
