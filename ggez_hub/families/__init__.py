"""Families of models, looked up by name: one module each, or a plug-in."""

from __future__ import annotations

from pathlib import Path

from ggez_hub.families import diffusion, embedding, vlm
from ggez_hub.families.family import (
    Family,
    KeyMap,
    Layout,
    NotOneToOne,
    Read,
    TiedWeight,
    UnknownLayout,
)
from ggez_hub.plugins import Catalog

FAMILIES: Catalog[Family] = Catalog(
    "families",
    "family",
    {family.name: family for family in (embedding.FAMILY, diffusion.FAMILY, vlm.FAMILY)},
    Family,
)
get_family = FAMILIES.find


def detect_family(folder: Path, variant: str | None = None) -> Family:
    """The family whose layout the folder has; raises UnknownLayout, or as the layout does."""
    for family in FAMILIES.values():
        try:
            family.layout(folder, variant)
        except UnknownLayout:
            continue
        return family
    raise UnknownLayout(
        f"{folder} holds no model of a known layout", "Name the family with --family."
    )


__all__ = [
    "FAMILIES",
    "Family",
    "KeyMap",
    "Layout",
    "NotOneToOne",
    "Read",
    "TiedWeight",
    "UnknownLayout",
    "detect_family",
    "get_family",
]
