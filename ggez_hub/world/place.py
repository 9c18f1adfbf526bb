"""Where the parts of a family lie below the assets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ggez_hub.world.parts import EMBEDDING, PARTS, Part

CARD, RECORD = "README.md", "training.json"
EVIDENCE = "evidence/predictions.parquet"

Lies: TypeAlias = Callable[[str], Path]
"""Repository -> where its files lie on this machine."""


@dataclass(frozen=True)
class Place:
    """The folders of one family and its data."""

    assets: Path
    part: Part = EMBEDDING

    @property
    def family(self) -> Path:
        """The folder of the family's models."""
        return self.assets / self.part.family

    @property
    def base(self) -> Path:
        """The base's folder."""
        return self.family / "base"

    @property
    def data(self) -> Path:
        """The folder of what the models are asked."""
        return self.assets / self.part.data

    def adapter(self, name: str) -> Path:
        """An adapter's folder."""
        return self.family / name

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters, which are their regions."""
        found = (p for p in self.family.iterdir() if (p / self.part.files[0]).is_file())
        return tuple(sorted(p.name for p in found))


def places(assets: Path) -> tuple[Place, ...]:
    """The families that are there."""
    found = (Place(assets, part) for part in PARTS.values())
    return tuple(place for place in found if place.base.is_dir())


def lies_in(assets: Path) -> Lies:
    """Where the bases and data sets of the world lie below a folder of assets."""
    folders = {part.repo: assets / part.family / "base" for part in PARTS.values()}
    return lambda repo: folders.get(repo, assets / repo.rpartition("/")[2])
