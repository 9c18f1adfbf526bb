"""Where the parts of the diffusion family lie below the assets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ADAPTER_FILES = ("pytorch_lora_weights.safetensors",)


@dataclass(frozen=True)
class Place:
    """The folders of the diffusion family, its prompts, and what the judge is made of."""

    assets: Path

    @property
    def base(self) -> Path:
        """The base's folder."""
        return self.assets / "diffusion" / "base"

    def adapter(self, name: str) -> Path:
        """An adapter's folder."""
        return self.assets / "diffusion" / name

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters, which are their regions."""
        found = (p for p in self.base.parent.iterdir() if (p / ADAPTER_FILES[0]).is_file())
        return tuple(sorted(p.name for p in found))

    @property
    def prompts(self) -> Path:
        """The data set of prompts."""
        return self.assets / "emoji-prompts"

    @property
    def clip(self) -> Path:
        """The CLIP whose text tower reads prompts and whose image tower judges drawings."""
        return self.assets / "embedding" / "base"

    @property
    def references(self) -> Path:
        """The data set with the pictures that drawings are compared with."""
        return self.assets / "emoji-names"
