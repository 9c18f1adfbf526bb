"""Vision-language embedding models: open_clip folders, and CLIP-like models of transformers."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.errors import GgezError
from ggez_hub.families.family import KeyMap, Layout, Read, UnknownLayout
from ggez_hub.families.transformers_folder import (
    CONFIG,
    Checkpoint,
    read_checkpoint,
    transformers_lines,
)
from ggez_hub.families.transformers_names import transformers_key_map
from ggez_hub.families.weight_files import NoVariant, transformers_weights

OPEN_CLIP_CONFIG = "open_clip_config.json"
OPEN_CLIP_WEIGHTS = "open_clip_model.safetensors"
HEAD = re.compile(r"For[A-Z]")


class OtherFormat(GgezError):
    """An adapter fits none of the modules of a model that is there in a second format."""


@dataclass(frozen=True)
class EmbeddingFamily:
    """CLIP-like models with an image tower and a text tower."""

    name: str = "embedding"
    title: str = "vision-language embedding"

    def layout(self, folder: Path, variant: str | None = None) -> Layout:
        """The layout of the folder; one that holds both formats is an open_clip folder.

        Raises UnknownLayout, BadFolder for a broken transformers folder, or NoVariant.
        """
        if _is_open_clip(folder):
            if variant is not None:
                raise NoVariant(f"{folder} is an open_clip folder, which has no variants")
            return Layout("open_clip", (OPEN_CLIP_WEIGHTS,))
        if (folder / CONFIG).is_file() and _has_two_towers(checkpoint := read_checkpoint(folder)):
            return checkpoint.layout("AutoModel", variant)
        raise UnknownLayout(
            f"{folder} holds no embedding model",
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
                    f"module {module!r} is none of the open_clip model in {folder}, which holds a "
                    "transformers model too",
                    f"For an adapter of the latter, merge a copy of the folder without "
                    f"{OPEN_CLIP_CONFIG}.",
                )
            return name if name in names else None

        return tensor

    def loading_lines(self, layout: Layout, folder: str) -> tuple[str, ...]:
        if layout.library == "transformers":
            return transformers_lines(layout, folder)
        return (
            "import open_clip",
            f'model, preprocess = open_clip.create_model_from_pretrained("local-dir:{folder}")',
            f'tokenizer = open_clip.get_tokenizer("local-dir:{folder}")',
        )


def _is_open_clip(folder: Path) -> bool:
    return (folder / OPEN_CLIP_CONFIG).is_file() and (folder / OPEN_CLIP_WEIGHTS).is_file()


def _has_two_towers(checkpoint: Checkpoint) -> bool:
    """Whether it is a bare model of text and pictures: a head for a task is named For."""
    towers = {"text_config", "vision_config"} <= checkpoint.config.keys()
    return towers and HEAD.search(checkpoint.architecture or "ForUnknown") is None


FAMILY = EmbeddingFamily()
