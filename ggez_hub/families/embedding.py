"""Vision-language embedding models: open_clip folders, and CLIP-like models of transformers."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.errors import GgezError
from ggez_hub.families.family import Family, KeyMap, Layout, Read, UnknownLayout, quoted
from ggez_hub.families.transformers_folder import (
    CONFIG,
    Checkpoint,
    read_checkpoint,
    transformers_lines,
)
from ggez_hub.families.transformers_names import meta_model, transformers_key_map
from ggez_hub.families.weight_files import NoVariant, transformers_weights

if TYPE_CHECKING:
    from torch import nn

OPEN_CLIP_CONFIG = "open_clip_config.json"
OPEN_CLIP_WEIGHTS = "open_clip_model.safetensors"
HEAD = re.compile(r"For[A-Z]")


class OtherFormat(GgezError):
    """An adapter fits none of the modules of a model that is there in a second format."""


@dataclass(frozen=True)
class EmbeddingFamily(Family):
    """CLIP-like models with an image tower and a text tower."""

    generates = "embeddings"
    configuration = frozenset({OPEN_CLIP_CONFIG, CONFIG})
    evaluation_backend = "ggez_hub.evaluation.models.similarity:BACKEND"
    training_backend = "ggez_hub.training.embedding:BACKEND"
    text_modules = re.compile(r"^(text|text_model|text_projection|token_embedding|transformer)\b")
    picture_modules = re.compile(r"^(visual|vision_model|visual_projection|vision_tower)\b")

    name: str = "embedding"
    title: str = "vision-language embedding"

    def layout(self, folder: Path, variant: str | None = None) -> Layout:
        if _is_open_clip(folder):
            if variant is not None:
                raise NoVariant(f"{folder} is an open_clip folder, which has no variants")
            return Layout("open_clip", (OPEN_CLIP_WEIGHTS,))
        if (folder / CONFIG).is_file() and _has_two_towers(checkpoint := read_checkpoint(folder)):
            return checkpoint.layout("AutoModel", variant)
        raise UnknownLayout(
            f"{folder} is not a model of the family embedding",
            f"It should hold {OPEN_CLIP_CONFIG} and {OPEN_CLIP_WEIGHTS}, or a CLIP-like model of "
            "transformers.",
        )

    def listed_weights(self, paths: Collection[str], read: Read) -> tuple[str, ...]:
        if OPEN_CLIP_CONFIG in paths and OPEN_CLIP_WEIGHTS in paths:
            return (OPEN_CLIP_WEIGHTS,)
        return transformers_weights(paths, read)

    def key_map(self, folder: Path, names: Collection[str]) -> KeyMap:
        if not _is_open_clip(folder):
            return transformers_key_map(folder, names)

        both = (folder / CONFIG).is_file()

        # open_clip's modules have the names of its tensors.
        def tensor(module: str) -> str | None:
            name = f"{module}.weight"
            if both and not any(n.startswith(f"{module}.") for n in names):
                raise OtherFormat(
                    f"module {module!r} is not in the open_clip model in {folder}, which holds a "
                    "transformers model too",
                    f"For an adapter of the latter, merge a copy of the folder without "
                    f"{OPEN_CLIP_CONFIG}.",
                )
            return name if name in names else None

        return tensor

    def loading_lines(self, layout: Layout, folder: str) -> tuple[str, ...]:
        if layout.library == "transformers":
            return transformers_lines(layout, folder)
        source = quoted(f"local-dir:{folder}")
        return (
            "import open_clip",
            f"model, preprocess = open_clip.create_model_from_pretrained({source})",
            f"tokenizer = open_clip.get_tokenizer({source})",
        )

    def empty_model(self, folder: Path) -> nn.Module:
        if not _is_open_clip(folder):
            return meta_model(read_checkpoint(folder))
        import open_clip
        from accelerate import init_empty_weights  # type: ignore[import-untyped]

        before = logging.root.manager.disable
        # It warns that the weights are random: there are none.
        logging.disable(logging.WARNING)
        try:
            with init_empty_weights():
                return open_clip.create_model(
                    f"local-dir:{folder}", load_weights=False, pretrained_text=False, device="meta"
                )
        finally:
            logging.disable(before)


def _is_open_clip(folder: Path) -> bool:
    return (folder / OPEN_CLIP_CONFIG).is_file() and (folder / OPEN_CLIP_WEIGHTS).is_file()


def _has_two_towers(checkpoint: Checkpoint) -> bool:
    """Whether it is a bare model of text and pictures: a head for a task is named For."""
    towers = {"text_config", "vision_config"} <= checkpoint.config.keys()
    return towers and HEAD.search(checkpoint.architecture or "ForUnknown") is None


FAMILY = EmbeddingFamily()
