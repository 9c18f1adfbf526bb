"""A base in float8 as the model in bfloat16 that it stands for: scales multiplied in, and gone.

All of its float8 tensors change their dtype, not only those that an adapter touches: what is left is a
plain checkpoint for every loader. transformers replaces modules, of which stacked experts are one; vLLM
joins query, key and value, and takes either all of them in float8 or none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.errors import UsageProblem
from ggez_hub.families.family import Layout
from ggez_hub.families.transformers_folder import CONFIG, FLOAT8
from ggez_hub.families.weight_files import read_json
from ggez_hub.merging.deltas import WeightIndex, WrongBase, qualified, stored_name
from ggez_hub.safetensors_header import TensorInfo, WeightFile, consecutive

if TYPE_CHECKING:
    import torch

BFLOAT16 = "bfloat16"
NUMBERS = frozenset({"F8_E4M3", "F8_E5M2"})
SCALES = frozenset({"F32", "F16", "BF16", "F8_E8M0"})
# What stands beside a weight: its own scales, and those of what it is multiplied with.
SCALE, INPUTS = "_scale_inv", ("activation_scale", "input_scale")


@dataclass(frozen=True)
class Scale:
    """The scales of a tensor: one for all of it, or one for each block of rows and columns."""

    name: str
    block: tuple[int, int] | None


class Bfloat16Index(WeightIndex):
    """The tensors of a base as they are stored with `--out-dtype bfloat16`.

    `read` gives a float8 tensor as its number times its scale, rounded to float32.
    """

    def __init__(self, index: WeightIndex, scales: Mapping[str, Scale | None]) -> None:
        """`scales` has every float8 tensor of the base `index` that is to change, by its name."""
        self.__dict__ |= copy(index).__dict__
        self._scales, self._source = scales, index
        dropped = {found.name for found in scales.values() if found} | _input_scales(index, scales)
        self.file_of = {n: path for n, path in index.file_of.items() if n not in dropped}
        self._results = {path: self._result(path, file) for path, file in index.files.items()}
        self.files = {p: f for p, f in index.files.items() if self._results[p].tensors}

    def _result(self, path: str, file: WeightFile) -> WeightFile:
        kept = [
            (stored, "BF16" if qualified(path, stored) in self._scales else info.dtype, info.shape)
            for stored, info in sorted(file.tensors.items(), key=lambda item: item[1].start)
            if qualified(path, stored) in self.file_of
        ]
        placed = consecutive(kept)
        return file if placed == file.tensors else WeightFile(file.path, placed, file.metadata)

    @property
    def results(self) -> Mapping[str, WeightFile]:
        return self._results

    def is_copied(self, name: str) -> bool:
        return name not in self._scales

    def __getitem__(self, name: str) -> TensorInfo:
        return self._results[self.file_of[name]].tensors[stored_name(name)]

    @property
    def nbytes(self) -> int:
        return sum(self._results[path].nbytes for path in self.files)

    def read(self, name: str) -> torch.Tensor:
        stored = self._source.read(name)
        if self.is_copied(name):
            return stored
        values, scale = stored.float(), self._scales[name]
        if scale is not None:
            _multiply(values, self._source.read(scale.name).float(), scale.block)
        return values


def _multiply(values: torch.Tensor, scales: torch.Tensor, block: tuple[int, int] | None) -> None:
    """Multiply each block of `values` (..., rows, columns) by its scale, in place."""
    if block is None:
        values.mul_(scales.reshape(()))
        return
    rows, columns = values.shape[-2:]
    matrices = values.reshape(-1, rows, columns)
    for matrix, grid in zip(matrices, scales.reshape(-1, *scales.shape[-2:]), strict=True):
        for number, line in enumerate(grid):
            start = number * block[0]
            matrix[start : start + block[0]].mul_(line.repeat_interleave(block[1])[:columns])


def in_dtype(index: WeightIndex, out_dtype: str | None) -> WeightIndex:
    """The base `index` as it is stored with that `--out-dtype`.

    Raises UsageProblem for another dtype, and as `in_bfloat16`.
    """
    if out_dtype not in {None, BFLOAT16}:
        raise UsageProblem(f"{out_dtype!r} is not a dtype of results", f"Give {BFLOAT16}.")
    return index if out_dtype is None else in_bfloat16(index)


def in_bfloat16(index: WeightIndex) -> WeightIndex:
    """The base `index` as it is stored in bfloat16; itself if it has no float8 tensors.

    Raises WrongBase for scales that are not as transformers writes them.
    """
    scales: dict[str, Scale | None] = {}
    for path, file in index.files.items():
        config = _quantization(index.folder / path)
        for stored, info in file.tensors.items():
            if info.dtype in NUMBERS:
                name = qualified(path, stored)
                scales[name] = _scale_of(index, name, info, config)
    # What is quantised in another way, as experts in four bits.
    used = {found.name for found in scales.values() if found}
    if others := sorted({n for n in index if n.endswith((SCALE, "scale_weight"))} - used):
        raise WrongBase(
            f"{index.folder}: {others[0]!r} is not the scale of a float8 tensor as transformers writes it",
            "Merge into the base that it was made from.",
        )
    return Bfloat16Index(index, scales) if scales else index


def _scale_of(
    index: WeightIndex, name: str, info: TensorInfo, config: Mapping[str, Any] | None
) -> Scale | None:
    """The scale of a float8 tensor, None where its numbers were only cast; raises WrongBase."""
    if config is None:
        # A cast checkpoint: a scale beside it is found by its name, and refused.
        return None
    beside = f"{name}{SCALE}"
    grid = index.get(beside)
    if grid is None or grid.dtype not in SCALES:
        raise WrongBase(
            f"{index.folder}: there is no {beside!r} for the float8 tensor {name!r}"
            + (f" but one of {grid.dtype}" if grid else ""),
            "Merge into the base that it was made from.",
        )
    if math.prod(grid.shape) == 1:
        return Scale(beside, None)
    declared = config.get("weight_block_size") or (0, 0)
    blocks = [
        _block(size, count, given)
        for size, count, given in zip(info.shape[-2:], grid.shape[-2:], declared, strict=False)
    ]
    if len(blocks) != 2 or None in blocks or grid.shape[:-2] != info.shape[:-2]:
        raise WrongBase(
            f"{index.folder}: {beside!r} is {grid.shape} for {name!r} {info.shape}: these are not scales of "
            f"blocks of {declared}",
            "Merge into the base that it was made from.",
        )
    return Scale(beside, (blocks[0] or 1, blocks[1] or 1))


def _block(size: int, count: int, declared: Any) -> int | None:
    """How many rows or columns one of `count` scales is for; the last may have fewer."""
    if type(declared) is int and declared > 0 and -(-size // declared) == count:
        return declared
    return size // count if count and size % count == 0 else None


def _input_scales(index: WeightIndex, numbers: Mapping[str, Scale | None]) -> set[str]:
    """The scales of what float8 modules are given, which nobody reads without them."""
    modules = {name.rpartition(".")[0] for name, scale in numbers.items() if scale}
    return {f"{module}.{part}" for module in modules for part in INPUTS} & set(index)


def _quantization(weights: Path) -> Mapping[str, Any] | None:
    """How the model of a weight file is quantised, by the config beside it; None if it is not."""
    path = weights.parent / CONFIG
    config = read_json(path).get("quantization_config") if path.is_file() else None
    if not config:
        return None
    if not isinstance(config, dict) or config.get("quant_method") != FLOAT8:
        raise WrongBase(f"{path}: its quantization_config is not that of float8 weights")
    return config


def write_plain_files(index: WeightIndex, layout: Layout, out: Path) -> None:
    """In a result of `index`: configs that name no quantisation, indexes of the tensors as they are.

    The base's are there already.
    """
    for folder in {Path(path).parent for path in index.files}:
        path = out / folder / CONFIG
        config = read_json(path) if path.is_file() else {}
        if config.pop("quantization_config", None) is not None:
            path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for name in layout.indexes:
        document = read_json(out / name)
        held = {n: f for n, f in document["weight_map"].items() if qualified(name, n) in index}
        size = sum(index[qualified(name, stored)].nbytes for stored in held)
        metadata = {**(document.get("metadata") or {}), "total_size": size}
        document |= {"metadata": metadata, "weight_map": held}
        (out / name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
