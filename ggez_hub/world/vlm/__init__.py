"""The vision-language family: a small FastVLM that names pictures, and its Thai LoRA adapter."""

from ggez_hub.world.vlm.building import build

__all__ = ["build"]
