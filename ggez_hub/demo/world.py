"""The families of the demo world: their repositories, and the folders of their models and data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
CARD, RECORD = "README.md", "training.json"
EVIDENCE = "evidence/predictions.parquet"

FindFolder: TypeAlias = Callable[[str], Path]
"""Repository -> the folder of its files on this machine."""


@dataclass(frozen=True)
class DemoFamily:
    """One family of the demo world.

    repo      of the base; an adapter's has its region after it
    scored    its scores in words
    data      the folder of its data set, below the assets
    files     of an adapter
    tasks     the folder of its tasks below the recipes
    complete  whether the demo asks every question again, or a part
    """

    family: str
    repo: str
    scored: str
    data: str = "emoji-names"
    files: tuple[str, ...] = ADAPTER_FILES
    tasks: str = "demo"
    complete: bool = False

    @property
    def name(self) -> str:
        """The base's name without its owner."""
        return self.repo.rpartition("/")[2]

    def adapter_repo(self, name: str) -> str:
        """The repository of an adapter."""
        return f"{self.repo}-{name}"


EMBEDDING = DemoFamily(
    family="embedding",
    repo="ggez-world/clip-emoji",
    scored="a name's own picture found among all (text-to-image R@1)",
    complete=True,
)
VLM = DemoFamily(
    family="vlm",
    repo="ggez-world/vlm-emoji",
    scored="one of four names chosen for a picture",
    tasks="demo/vlm",
)
DIFFUSION = DemoFamily(
    family="diffusion",
    repo="ggez-world/diffusion-emoji",
    scored="drawings that the judge takes for what was asked for",
    data="emoji-prompts",
    files=("pytorch_lora_weights.safetensors",),
)
DEMO_FAMILIES: Mapping[str, DemoFamily] = {
    part.family: part for part in (EMBEDDING, VLM, DIFFUSION)
}
"""By family, the one that a bare pull takes first."""


@dataclass(frozen=True)
class FamilyFolders:
    """The folders of a family below `assets`."""

    assets: Path
    part: DemoFamily = EMBEDDING

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


def family_folders(assets: Path) -> tuple[FamilyFolders, ...]:
    """The folders of the families that `assets` has."""
    found = (FamilyFolders(assets, part) for part in DEMO_FAMILIES.values())
    return tuple(place for place in found if place.base.is_dir())


def find_in(assets: Path) -> FindFolder:
    """Find the bases and data sets of the demo world below a folder of assets."""
    folders = {part.repo: assets / part.family / "base" for part in DEMO_FAMILIES.values()}
    return lambda repo: folders.get(repo, assets / repo.rpartition("/")[2])
