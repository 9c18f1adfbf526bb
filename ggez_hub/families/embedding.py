"""Vision-language embedding models: open_clip folders."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.families.base import KeyMap, Layout, UnknownLayout

OPEN_CLIP_CONFIG = "open_clip_config.json"
OPEN_CLIP_WEIGHTS = "open_clip_model.safetensors"


@dataclass(frozen=True)
class EmbeddingFamily:
    """CLIP-like models with an image tower and a text tower."""

    name: str = "embedding"
    title: str = "vision-language embedding"

    def layout(self, folder: Path) -> Layout:
        if (folder / OPEN_CLIP_CONFIG).is_file() and (folder / OPEN_CLIP_WEIGHTS).is_file():
            return Layout("open_clip", (OPEN_CLIP_WEIGHTS,))
        raise UnknownLayout(
            f"{folder} is no open_clip folder",
            f"It should hold {OPEN_CLIP_CONFIG} and {OPEN_CLIP_WEIGHTS}.",
        )

    def key_map(self, folder: Path, names: Collection[str]) -> KeyMap:
        # open_clip's modules have the names of its tensors.
        def tensor(module: str) -> str | None:
            name = f"{module}.weight"
            return name if name in names else None

        return tensor

    def loading_lines(self, layout: Layout, folder: str) -> tuple[str, ...]:
        return (
            "import open_clip",
            f'model, preprocess = open_clip.create_model_from_pretrained("local-dir:{folder}")',
            f'tokenizer = open_clip.get_tokenizer("local-dir:{folder}")',
        )


FAMILY = EmbeddingFamily()
