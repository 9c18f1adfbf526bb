"""Families of models, looked up by name. A new one is declared here: a module with its FAMILY.

    embedding, diffusion, vlm    the families that there are, one declaration each
    family                       Family, what a declaration holds

It joins the others in FAMILIES below, and its name those of cards.values; a plug-in's is found by its
entry point. Nothing else depends on which families there are: merging, evaluation, training and the
registry ask the declaration.
"""

from __future__ import annotations

from pathlib import Path

from ggez_hub.errors import GgezError
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
from ggez_hub.families.weight_files import PICKLES
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
    if (folder / "adapter_config.json").is_file():
        raise UnknownLayout(
            f"{folder} is an adapter, not a complete model",
            "Name its base in this place: the adapter is an input of its own.",
        )
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    inner = [path for pattern in ("*", "*/*") for path in sorted(folder.glob(pattern))]
    pickles = [path.name for path in inner if path.suffix in PICKLES]
    if pickles and all(path.suffix != ".safetensors" for path in inner):
        raise UnknownLayout(
            f"{folder} holds its weights only in {', '.join(pickles[:3])}, which is never loaded",
            "Convert it to safetensors where you trust it.",
        )
    holds = ", ".join(found[:3]) + (" and others" if len(found) > 3 else "") or "no files"
    raise UnknownLayout(
        f"{folder} holds {holds}: no model of a known layout",
        f"A model is known by one of these files beside its weights: {', '.join(sorted(model_configuration()))}.",
    )


def require_family(folder: Path, family: Family, variant: str | None = None) -> Layout:
    """The layout of the model in `folder`; UnknownLayout says of which other family it is, if any."""
    try:
        return family.layout(folder, variant)
    except UnknownLayout as error:
        try:
            other = detect_family(folder, variant).name
        except GgezError:
            raise error from None
        raise UnknownLayout(
            f"{error.message}: it is a model of the family {other}",
            "Base and adapter are of one family; --family is found by the base if it is left out.",
        ) from error


def model_configuration() -> frozenset[str]:
    """The names of the files that `detect_family` reads."""
    return frozenset().union(*(family.configuration for family in FAMILIES.values()))


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
    "model_configuration",
    "require_family",
]
