"""The diffusion family: a small Stable Diffusion for emoji and its Thai LoRA adapter."""

from demo_world.diffusion.builder import build

__all__ = ["build"]
