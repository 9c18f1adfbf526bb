"""Adapter forms: each one a module that turns a folder into a stream of Deltas."""

from __future__ import annotations

from pathlib import Path

from ggez_hub.families import Family
from ggez_hub.merging.adapters.peft import open_peft
from ggez_hub.merging.deltas import Delta, WeightIndex


def open_delta(folder: Path, family: Family, base: WeightIndex) -> Delta:
    """The adapter in `folder` as a stream of Deltas for `base`; raises BadAdapter, WrongBase."""
    return open_peft(folder, family, base)
