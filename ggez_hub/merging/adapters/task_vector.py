"""Task vectors: Delta itself in a file, dense or sparse. A small format of our own.

A folder with two files. `task_vector.json`: {"format": "ggez-task-vector", "version": 1,
"created_by": ..., "base": {"weights": {path: sha256}}}. `task_vector.safetensors`: for each changed
tensor of the base either Delta under the tensor's name, in any floating dtype, or its non-zero
elements: `<name>::indices` (I32 or I64, ascending, into the flattened tensor) and
`<name>::values`. A tensor that is not named is unchanged.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.families import Family
from ggez_hub.merging.adapters.module_delta import (
    FLOATING,
    ModuleSet,
    Scaled,
    read_values,
    require_floating,
)
from ggez_hub.merging.delta_rows import RowDelta, matrix_shape
from ggez_hub.merging.deltas import BadAdapter, WeightIndex, WrongBase
from ggez_hub.safetensors_header import WeightFile, read_header

if TYPE_CHECKING:
    import torch

    from ggez_hub.merging.adapters.module_delta import ModuleDelta

MANIFEST = "task_vector.json"
WEIGHTS = "task_vector.safetensors"
FORMAT = "ggez-task-vector"
VERSION = 1
INDICES, VALUES = "::indices", "::values"


def holds_task_vector(source: Path) -> bool:
    """Whether `source` is a folder of a task vector, or a part of one."""
    return any((source / name).is_file() for name in (MANIFEST, WEIGHTS))


def open_task_vector(folder: Path, family: Family, base: WeightIndex) -> ModuleSet:
    """The task vector in `folder` as Deltas for `base`; the family decides nothing here.

    Raises BadAdapter for a broken vector, WrongBase if it was made for other weights, BadWeights.
    """
    _require_base(folder, _manifest(folder), base)
    if not (folder / WEIGHTS).is_file():
        raise BadAdapter(f"{folder} holds no {WEIGHTS}")
    file = read_header(folder / WEIGHTS)
    modules: dict[str, ModuleDelta] = {}
    for key in file.tensors:
        part = _part(file, key, base)
        if part is None:
            continue
        if part.target in modules:
            raise BadAdapter(f"{file.path} holds {part.target!r} both dense and sparse")
        part.check(base)
        modules[part.target] = part
    return ModuleSet(str(folder), modules, base)


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadAdapter(f"{path} cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BadAdapter(f"{path} does not describe a task vector")
    if manifest.get("version") != VERSION:
        raise BadAdapter(
            f"{path} has version {manifest.get('version')!r}, this program reads {VERSION}",
            "Upgrade ggez-hub.",
        )
    return manifest


def _require_base(folder: Path, manifest: Mapping[str, Any], base: WeightIndex) -> None:
    stated = manifest.get("base")
    weights = stated.get("weights") if isinstance(stated, dict) else None
    if not isinstance(weights, dict) or not weights:
        raise BadAdapter(f"{folder / MANIFEST} does not say what it was made for: base.weights")
    if set(weights.values()) != set(base.digests.values()):
        raise WrongBase(
            f"{folder} was made for other weights than those in {base.folder}",
            "A task vector is a difference: it fits the very files that it was taken from.",
        )


def _part(file: WeightFile, key: str, base: WeightIndex) -> Scaled | Sparse | None:
    if key in base:
        return Scaled(key, file, key, 1.0)
    name, separator, kind = key.rpartition("::")
    other = name + (VALUES if separator + kind == INDICES else INDICES)
    if separator + kind not in {INDICES, VALUES} or name not in base:
        raise WrongBase(f"{file.path} changes {key!r}, which the base in {base.folder} lacks")
    if other not in file.tensors:
        raise BadAdapter(f"{file.path} has {key!r} without {other!r}")
    return Sparse(name, file, name + INDICES, name + VALUES) if kind == "indices" else None


@dataclass(frozen=True)
class Sparse:
    """The elements of a Delta that are not zero."""

    target: str
    file: WeightFile
    key_indices: str
    key_values: str

    def by_rows(self, base: WeightIndex) -> RowDelta:
        from ggez_hub.merging.stored_tensors import map_tensor

        indices = map_tensor(self.file, self.key_indices).long()
        shape = base[self.target].shape
        ascending = bool((indices[1:] > indices[:-1]).all())
        if len(indices) and not (ascending and indices[0] >= 0 and indices[-1] < math.prod(shape)):
            raise BadAdapter(
                f"{self.file.path}: {self.key_indices!r} is not ascending within the "
                f"{math.prod(shape)} elements of the tensor"
            )
        return Scattered(indices, read_values(self.file, self.key_values), matrix_shape(shape)[1])

    def check(self, base: WeightIndex) -> None:
        """Raise BadAdapter unless both lists fit each other and the base's tensor."""
        require_floating(self.file, self.key_values)
        info = base[self.target]
        indices = self.file.tensors[self.key_indices]
        values = self.file.tensors[self.key_values].shape
        if indices.dtype not in {"I32", "I64"}:
            raise BadAdapter(f"{self.file.path}: {self.key_indices!r} is {indices.dtype}")
        if len(indices.shape) != 1 or indices.shape != values:
            raise BadAdapter(
                f"{self.file.path}: {self.target!r} has {indices.shape} indices, {values} values"
            )
        if indices.shape[0] > math.prod(info.shape) or info.dtype not in FLOATING:
            raise WrongBase(
                f"{self.file.path} changes {indices.shape[0]} elements of {self.target!r}, which "
                f"in {base.folder} is {info.dtype} {info.shape}"
            )


@dataclass(frozen=True)
class Scattered:
    """Rows of a matrix that is zero but for `values` (float64) at the ascending `indices`."""

    indices: torch.Tensor
    values: torch.Tensor
    columns: int

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        import torch

        first, last = torch.searchsorted(
            self.indices, torch.tensor([start * self.columns, stop * self.columns])
        ).tolist()
        out.zero_()
        out.view(-1)[self.indices[first:last] - start * self.columns] = self.values[first:last]
