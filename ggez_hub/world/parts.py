"""The families of the world: where each lies, what it is called, and what its cards say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One family of the world.

    repo       of the base; an adapter's has its region after it
    tasks      the folder of its tasks below the recipes
    metric     of the tasks that parity is over
    adapts     what its adapters change, in the card's words
    method     how they are trained
    noun       what they teach, with the region's languages after it
    """

    family: str
    repo: str
    tasks: str
    metric: str
    library: str
    pipeline_tag: str
    adapts: tuple[str, ...]
    method: str
    noun: str
    tags: tuple[str, ...] = ()

    def adapter_repo(self, name: str) -> str:
        """The repository of an adapter."""
        return f"{self.repo}-{name}"


EMBEDDING = Part(
    family="embedding",
    repo="ggez-world/clip-emoji",
    tasks="demo",
    metric="text_to_image_r1",
    library="open_clip",
    pipeline_tag="zero-shot-image-classification",
    adapts=("prompt_language",),
    method="LoRA on the text tower by PEFT, CLIP's contrastive loss",
    noun="the names of emoji",
    tags=("clip",),
)
VLM = Part(
    family="vlm",
    repo="ggez-world/vlm-emoji",
    tasks="demo/vlm",
    metric="choice_4",
    library="transformers",
    pipeline_tag="image-text-to-text",
    adapts=("prompt_language", "answer_language"),
    method="LoRA on language model, projector and head by `ggez-hub train`",
    noun="to name emoji",
)
PARTS: Mapping[str, Part] = {part.family: part for part in (EMBEDDING, VLM)}
