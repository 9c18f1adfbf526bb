"""Loaders: one for each shape of data set, looked up by the name that a benchmark gives.

A loader asserts the schema that it reads, names the column that is off, and yields frozen items.
Importing them loads no pyarrow.
"""

from __future__ import annotations

from collections.abc import Mapping

from ggez_hub.evaluation.benchmarks.loaders import (
    answers,
    captions,
    choices,
    cvqa,
    dpg_bench,
    prompted,
    sea_vqa,
    worldcuisines,
)
from ggez_hub.evaluation.benchmarks.loaders.base import (
    Captioned,
    Choice,
    Item,
    Loader,
    Open,
    Options,
    Prompted,
    Source,
)

LOADERS: Mapping[str, Loader] = {
    "sea-vqa": sea_vqa.LOADER,
    "cvqa": cvqa.LOADER,
    "worldcuisines": worldcuisines.LOADER,
    "worldcuisines-open": worldcuisines.LOADER_OPEN,
    "worldcuisines-1.1": worldcuisines.LOADER_1_1,
    "choices": choices.LOADER,
    "answers": answers.LOADER,
    "captions": captions.LOADER,
    "dpg-bench": dpg_bench.LOADER,
    "prompts": prompted.LOADER,
}

__all__ = [
    "LOADERS",
    "Captioned",
    "Choice",
    "Item",
    "Loader",
    "Open",
    "Options",
    "Prompted",
    "Source",
]
