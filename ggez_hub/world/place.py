"""Where the parts of a family lie below the assets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ggez_hub.world.parts import EMBEDDING, PARTS, Part

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


@dataclass(frozen=True)
class Place:
    """The folders of one family and its data."""

    assets: Path
    part: Part = EMBEDDING

    @property
    def base(self) -> Path:
        """The base's folder."""
        return self.assets / self.part.family / "base"

    @property
    def data(self) -> Path:
        """The data set's folder."""
        return self.assets / "emoji-names"

    def adapter(self, name: str) -> Path:
        """An adapter's folder."""
        return self.assets / self.part.family / name

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters, which are their regions."""
        found = (p for p in self.base.parent.iterdir() if (p / ADAPTER_FILES[0]).is_file())
        return tuple(sorted(p.name for p in found))


def places(assets: Path) -> tuple[Place, ...]:
    """The families that are there."""
    found = (Place(assets, part) for part in PARTS.values())
    return tuple(place for place in found if place.base.is_dir())
