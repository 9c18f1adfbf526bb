"""Loaders: one for each shape of data set, looked up by the name that a benchmark gives.

Other distributions add theirs by entry points of the group `ggez_hub.loaders`.

A loader checks the columns that it reads, names the one that is wrong, and yields frozen items.
Importing them loads no pyarrow.
"""

from __future__ import annotations

from ggez_hub.evaluation.benchmarks.loaders import (
    columns,
    cvqa,
    dpg_bench,
    mteb_retrieval,
    sea_helm,
    sea_vqa,
    worldcuisines,
)
from ggez_hub.evaluation.benchmarks.loaders.base import (
    Captioned,
    Choice,
    DrawingPrompt,
    Item,
    Loader,
    OpenQuestion,
    Options,
    PictureQuestion,
    SafetyPrompt,
    Source,
)
from ggez_hub.plugins import Catalog

LOADERS: Catalog[Loader] = Catalog(
    "loaders",
    "loader",
    {
        "sea-vqa": sea_vqa.LOADER,
        "cvqa": cvqa.LOADER,
        "sea-helm": sea_helm.LOADER,
        "worldcuisines": worldcuisines.LOADER,
        "worldcuisines-open": worldcuisines.LOADER_OPEN,
        "worldcuisines-1.1": worldcuisines.LOADER_1_1,
        "choices": columns.CHOICES,
        "answers": columns.ANSWERS,
        "captions": columns.CAPTIONS,
        "dpg-bench": dpg_bench.LOADER,
        "prompts": columns.PROMPTS,
        "mteb-captions": mteb_retrieval.CAPTIONS,
        "mteb-prompts": mteb_retrieval.PROMPTS,
        "safety-prompts": columns.SAFETY_PROMPTS,
    },
    Loader,
)

__all__ = [
    "LOADERS",
    "Captioned",
    "Choice",
    "DrawingPrompt",
    "Item",
    "Loader",
    "OpenQuestion",
    "Options",
    "PictureQuestion",
    "SafetyPrompt",
    "Source",
]
