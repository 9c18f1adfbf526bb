"""The vision-language family: a small FastVLM that names pictures, and its Thai LoRA adapter."""

from demo_world.vlm.builder import build

__all__ = ["build"]
