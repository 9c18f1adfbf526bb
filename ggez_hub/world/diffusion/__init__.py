"""The diffusion family: a small Stable Diffusion for emoji and its Thai LoRA adapter."""

from ggez_hub.world.diffusion.building import build

__all__ = ["build"]
