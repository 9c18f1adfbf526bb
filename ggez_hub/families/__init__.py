"""Families of models: one module each, looked up by name."""

from __future__ import annotations

from pathlib import Path

from ggez_hub.errors import UsageProblem
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

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        embedding.FAMILY,
        diffusion.FAMILY,
        vlm.FAMILY,
    )
}


def get_family(name: str) -> Family:
    """The family of that name; raises UsageProblem that lists what there is."""
    if name not in FAMILIES:
        raise UsageProblem(f"there is no family {name!r}", f"Families: {', '.join(FAMILIES)}.")
    return FAMILIES[name]


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
