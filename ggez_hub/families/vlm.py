"""Vision-language models that generate text, and language models: transformers folders."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.families.family import Family, KeyMap, Layout, Read
from ggez_hub.families.transformers_folder import (
    CONFIG,
    READS,
    Checkpoint,
    read_checkpoint,
    transformers_lines,
)
from ggez_hub.families.transformers_names import meta_model, transformers_key_map
from ggez_hub.families.weight_files import transformers_weights

if TYPE_CHECKING:
    from torch import nn

SEES = "AutoModelForImageTextToText"


@dataclass(frozen=True)
class VlmFamily(Family):
    """Any architecture of transformers goes the same way: complete, or refused."""

    generates = "text"
    configuration = frozenset({CONFIG})
    evaluation_backend = "ggez_hub.evaluation.models.vision_model:BACKEND"
    training_backend = "ggez_hub.training.vlm:BACKEND"

    name: str = "vlm"
    title: str = "vision-language model"

    def layout(self, folder: Path, variant: str | None = None) -> Layout:
        checkpoint = read_checkpoint(folder)
        return checkpoint.layout(_loader(checkpoint), variant)

    def listed_weights(self, paths: Collection[str], read: Read) -> tuple[str, ...]:
        return transformers_weights(paths, read)

    def key_map(self, folder: Path, names: Collection[str]) -> KeyMap:
        return transformers_key_map(folder, names)

    def loading_lines(self, layout: Layout, folder: str) -> tuple[str, ...]:
        return transformers_lines(layout, folder)

    def empty_model(self, folder: Path) -> nn.Module:
        return meta_model(read_checkpoint(folder))


def _loader(checkpoint: Checkpoint) -> str:
    """The Auto class for what the model does; the class itself where none is made for it."""
    architecture = checkpoint.architecture
    sees = "vision_config" in checkpoint.config
    if not architecture:
        return SEES if sees else READS
    if sees and architecture.endswith(("ForConditionalGeneration", "ForCausalLM")):
        return SEES
    return READS if architecture.endswith("ForCausalLM") else architecture


FAMILY = VlmFamily()
