"""A full fine-tune as an adapter: Delta = theta_regional - theta_global, streamed, never stored.

Two folders of one architecture; shards, dtypes, file names, and the names that different versions
of a library give the same tensors may differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.families import Family, KeyMap, TiedWeight
from ggez_hub.merging.adapters.module_delta import FLOATING, too_coarse
from ggez_hub.merging.delta_rows import Difference, RowDelta, blocks, matrix_shape
from ggez_hub.merging.deltas import BadAdapter, Delta, WeightIndex, WrongBase
from ggez_hub.merging.float8 import Bfloat16Index, in_bfloat16
from ggez_hub.quantities import counted

if TYPE_CHECKING:
    import torch


def holds_finetune(source: Path) -> bool:
    """Whether `source` is a folder with weights: what it holds, the family's layout decides."""
    return source.is_dir() and any(True for _ in source.rglob("*.safetensors"))


def open_finetune(folder: Path, family: Family, base: WeightIndex) -> Finetune:
    """The fine-tuned model in `folder` as Deltas for `base`; both may be in float8 where the base is widened.

    Raises UnknownLayout if it is not a model of the family, WrongBase where tensors are missing, are
    there in addition or have another shape, BadAdapter for integers that differ, BadWeights.
    """
    regional = WeightIndex(folder, family.layout(folder).weights)
    if isinstance(base, Bfloat16Index):
        regional = in_bfloat16(regional)
    tuned = Finetune(regional, base, _names(regional, base, family))
    for name, info in base.items():
        if info.dtype.startswith("F8") and not tuned.holds(name):
            raise too_coarse(base, name)
    _require_same_tensors(tuned, base)
    for name, info in base.items():
        if info.dtype not in FLOATING and not tuned.holds(name):
            raise BadAdapter(
                f"{folder}: the {info.dtype} tensor {name!r} is not the base's, and integers "
                "cannot be interpolated"
            )
    return tuned


class Finetune(Delta):
    """The difference of two models; only tensors whose values differ are touched."""

    def __init__(self, regional: WeightIndex, base: WeightIndex, names: Mapping[str, str]) -> None:
        """`names` are the regional names of tensors, by those of the base."""
        super().__init__(str(regional.folder), base)
        self.regional, self.names = regional, names

    @cached_property
    def touched(self) -> frozenset[str]:
        return frozenset(
            name
            for name, info in self.base.items()
            if info.dtype in FLOATING and not same_values(self.stored(name), self.base.read(name))
        )

    def stored(self, name: str) -> torch.Tensor:
        """The regional value of the base's tensor `name`, as it is stored."""
        return self.regional.read(self.names[name])

    def holds(self, name: str) -> bool:
        """Whether it has the base's tensor `name`, bit for bit."""
        return name in self.names and same_bytes(self.stored(name), self.base.read(name))

    def by_rows(self, name: str) -> RowDelta:
        return Difference(self.stored(name), self.base.read(name))


def _names(regional: WeightIndex, base: WeightIndex, family: Family) -> dict[str, str]:
    """The regional names of the tensors by those of the base, which other versions may name.

    A regional name that the base does not have is looked up as the name of a parameter. Tensors
    that are stored although they are tied to another must have its value, or BadAdapter is raised.
    """
    found = {name: name for name in regional if name in base}
    if others := [name for name in regional if name not in base]:
        key_map = family.key_map(base.folder, base.keys())
        for name in others:
            meant = _meant(key_map, name)
            if meant not in found:
                found[meant] = name
            elif not same_bytes(regional.read(found[meant]), regional.read(name)):
                raise BadAdapter(
                    f"{regional.folder} has {found[meant]!r} and {name!r} with different values, "
                    f"which are one tensor of the base: {meant!r}"
                )
    return found


def _meant(key_map: KeyMap, name: str) -> str:
    """The base's name for the parameter `name`; the name itself where the base has none."""
    try:
        return key_map(name) or name
    except TiedWeight as tied:
        # The whole tensor is replaced: all that share it change alike.
        return tied.tensor or name


def _require_same_tensors(tuned: Finetune, base: WeightIndex) -> None:
    regional = tuned.regional
    for kind, names in (
        ("lacks", base.keys() - tuned.names.keys()),
        ("has, beside the base's,", tuned.names.keys() - base.keys()),
    ):
        if names:
            some = ", ".join(map(repr, sorted(names)[:3]))
            raise WrongBase(
                f"{regional.folder} {kind} {counted(len(names), 'tensor')}: {some}",
                "A fine-tune is merged with the base that it was made from, saved in the same "
                "format: by the same library.",
            )
    for name, info in base.items():
        other = regional[tuned.names[name]]
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
