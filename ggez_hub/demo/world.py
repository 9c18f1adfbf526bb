"""The families of the world: where each lies, what it is called, and what its cards say of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


@dataclass(frozen=True)
class DemoFamily:
    """One family of the world.

    repo         of the base; an adapter's has its region after it
    data         the folder of what its models are asked, below the assets
    files        of an adapter
    tasks        the folder of its tasks below the recipes
    scored       what its scores are, in words
    whole        whether the demo asks everything again, or a part
    library      that loads the base; `adapter_library` an adapter
    adapts       what its adapters change, in the card's words
    method       how they are trained
    """

    family: str
    repo: str
    scored: str
    library: str
    pipeline_tag: str
    adapts: tuple[str, ...]
    method: str
    data: str = "emoji-names"
    files: tuple[str, ...] = ADAPTER_FILES
    tasks: str = "demo"
    whole: bool = False
    adapter_library: str = "peft"
    tags: tuple[str, ...] = ()

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
    whole=True,
    library="open_clip",
    pipeline_tag="zero-shot-image-classification",
    adapts=("prompt_language",),
    method="LoRA on the text tower by PEFT, CLIP's contrastive loss",
    tags=("clip",),
)
VLM = DemoFamily(
    family="vlm",
    repo="ggez-world/vlm-emoji",
    scored="one of four names chosen for a picture",
    tasks="demo/vlm",
    library="transformers",
    pipeline_tag="image-text-to-text",
    adapts=("prompt_language", "answer_language"),
    method="LoRA on language model, projector and head by `ggez-hub train`",
)
DIFFUSION = DemoFamily(
    family="diffusion",
    repo="ggez-world/diffusion-emoji",
    scored="drawings that the judge takes for what was asked for",
    data="emoji-prompts",
    files=("pytorch_lora_weights.safetensors",),
    library="diffusers",
    adapter_library="diffusers",
    pipeline_tag="text-to-image",
    adapts=("content", "prompt_language"),
    method="LoRA on the UNet by `ggez-hub train`",
)
DEMO_FAMILIES: Mapping[str, DemoFamily] = {
    part.family: part for part in (EMBEDDING, VLM, DIFFUSION)
}
"""By family, the one that a bare pull takes first."""


CARD, RECORD = "README.md", "training.json"
EVIDENCE = "evidence/predictions.parquet"

FindFolder: TypeAlias = Callable[[str], Path]
"""Repository -> where its files lie on this machine."""


@dataclass(frozen=True)
class FamilyFolders:
    """The folders of one family and its data."""

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
    """The families that are there."""
    found = (FamilyFolders(assets, part) for part in DEMO_FAMILIES.values())
    return tuple(place for place in found if place.base.is_dir())


def find_in(assets: Path) -> FindFolder:
    """Where the bases and data sets of the world lie below a folder of assets."""
    folders = {part.repo: assets / part.family / "base" for part in DEMO_FAMILIES.values()}
    return lambda repo: folders.get(repo, assets / repo.rpartition("/")[2])
