"""A full fine-tune as an adapter: Delta = theta_regional - theta_global, streamed, never stored.

Two folders of one architecture in one layout; shards, dtypes and file names may differ.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.families import Family
from ggez_hub.merging.adapters.modules import FLOATING
from ggez_hub.merging.deltas import BadAdapter, WeightIndex, WrongBase
from ggez_hub.merging.rows import Difference, RowDelta, blocks, matrix_shape, whole

if TYPE_CHECKING:
    import torch


def holds_finetune(source: Path) -> bool:
    """Whether `source` is a folder with weights: what is in it, the family's layout will say."""
    return source.is_dir() and any(True for _ in source.rglob("*.safetensors"))


def open_finetune(folder: Path, family: Family, base: WeightIndex) -> Finetune:
    """The fine-tuned model in `folder` as Deltas for `base`.

    Raises UnknownLayout if it is no model of the family, WrongBase where tensors are missing, are
    there in addition or have another shape, BadAdapter for integers that differ, BadWeights.
    """
    regional = WeightIndex(folder, family.layout(folder).weights)
    _require_same_tensors(regional, base)
    for name, info in base.items():
        if info.dtype not in FLOATING and not same_bytes(regional.read(name), base.read(name)):
            raise BadAdapter(
                f"{folder}: the {info.dtype} tensor {name!r} is not the base's, and integers "
                "cannot be interpolated"
            )
    return Finetune(regional, base)


class Finetune:
    """A Delta between two models; only tensors whose values differ are touched."""

    def __init__(self, regional: WeightIndex, base: WeightIndex) -> None:
        """Both hold the same names and shapes."""
        self.regional, self._base = regional, base

    @property
    def name(self) -> str:
        return str(self.regional.folder)

    @cached_property
    def touched(self) -> frozenset[str]:
        return frozenset(
            name
            for name, info in self._base.items()
            if info.dtype in FLOATING
            and not same_values(self.regional.read(name), self._base.read(name))
        )

    def tensor(self, name: str) -> torch.Tensor:
        return whole(self.by_rows(name), self._base[name].shape)

    def by_rows(self, name: str) -> RowDelta:
        return Difference(self.regional.read(name), self._base.read(name))


def _require_same_tensors(regional: WeightIndex, base: WeightIndex) -> None:
    for kind, names in (
        ("lacks", base.keys() - regional.keys()),
        ("has, beside the base's,", regional.keys() - base.keys()),
    ):
        if names:
            some = ", ".join(map(repr, sorted(names)[:3]))
            raise WrongBase(
                f"{regional.folder} {kind} {len(names)} tensors: {some}",
                "A fine-tune is merged with the base that it was made from, saved in the same "
                "format: the same library, and the same generation of names.",
            )
    for name, info in base.items():
        other = regional[name]
        if other.shape != info.shape:
            raise WrongBase(
                f"{regional.folder} has {name!r} with the shape {other.shape}, the base in "
                f"{base.folder} has {info.shape}",
                "The fine-tune was made from another model, or with a resized vocabulary.",
            )
        if (other.dtype in FLOATING) != (info.dtype in FLOATING):
            raise WrongBase(
                f"{regional.folder} has {name!r} as {other.dtype}, the base in {base.folder} as "
                f"{info.dtype}: one of them is quantised"
            )


def same_bytes(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors of one shape have the same dtype and the same bits."""
    import torch

    if one.dtype != other.dtype:
        return False
    return torch.equal(*(t.contiguous().reshape(-1).view(torch.uint8) for t in (one, other)))


def same_values(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors of one shape have the same bits, or the same values in two dtypes."""
    import torch

    if one.dtype == other.dtype:
        return same_bytes(one, other)
    shape = matrix_shape(one.shape)
    a, b = one.reshape(shape), other.reshape(shape)
    return all(
        torch.equal(a[start:stop].double(), b[start:stop].double())
        for start, stop in blocks(one.shape)
    )
