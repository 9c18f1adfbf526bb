"""Tensors of an adapter on their way into another file, as bytes and without torch."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.safetensors_header import BITS, WeightFile, consecutive, write_header

NUMPY = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
# A number is NaN or Inf if all bits of its exponent are ones (IEEE 754, bfloat16).
EXPONENTS = {
    "F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80), "F32": ("<u4", 0x7F80_0000),
    "F64": ("<u8", 0x7FF0_0000_0000_0000),
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """A tensor whose bytes are somewhere: `read` gives them little-endian, row by row."""

    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], bytes | bytearray]


def stored(file: WeightFile, key: str) -> Tensor:
    """A tensor of a file, copied as it is; reading it raises BadAdapter for NaN and Inf."""

    def read() -> bytearray:
        data = file.read(key)
        if not is_finite(data, info.dtype):
            raise BadAdapter(f"{file.path}: {key!r} is not finite: it holds NaN or Inf")
        return data

    info = file.tensors[key]
    return Tensor(info.dtype, info.shape, read)


def require_finite(file: WeightFile) -> None:
    """Raise BadAdapter for a tensor of the file that holds NaN or Inf."""
    for key in file.tensors:
        stored(file, key).read()


def is_finite(data: bytes | bytearray, dtype: str) -> bool:
    """Whether all numbers in `data` are finite; integers are."""
    import numpy as np

    if dtype not in EXPONENTS:
        return True
    kind, mask = EXPONENTS[dtype]
    return not bool(((np.frombuffer(data, kind) & mask) == mask).any())


def padded(tensor: Tensor, axis: int, size: int) -> Tensor:
    """The tensor made longer by zeros along an axis, 0 or 1: a product B @ A stays the same."""
    before = tensor.shape
    shape = (*before[:axis], size, *before[axis + 1 :])

    def read() -> bytes:
        width, longer = (math.prod(s[axis:]) * BITS[tensor.dtype] // 8 for s in (before, shape))
        data = tensor.read()
        rows = (data[start : start + width] for start in range(0, len(data), width))
        return b"".join(row.ljust(longer, b"\0") for row in rows)

    return Tensor(tensor.dtype, shape, read)


def selected_rows(tensor: Tensor, runs: Sequence[range]) -> Tensor:
    """Some runs of rows of a tensor, one after the other."""
    shape = (sum(map(len, runs)), *tensor.shape[1:])

    def read() -> bytes:
        width, data = math.prod(shape[1:]) * BITS[tensor.dtype] // 8, tensor.read()
        return b"".join(data[run.start * width : run.stop * width] for run in runs)

    return Tensor(tensor.dtype, shape, read)


def multiplied(tensor: Tensor, factor: float) -> Tensor:
    """A floating tensor times a number, rounded once: to float32, or float64 as it was."""
    dtype = "F64" if tensor.dtype == "F64" else "F32"

    def read() -> bytes:
        import numpy as np

        data = tensor.read()
        if tensor.dtype == "BF16":
            # numpy has no bfloat16: it is the upper half of a float32.
            bits = np.frombuffer(data, "<u2").astype("<u4") << np.uint32(16)
            values = bits.view("<f4")
        else:
            values = np.frombuffer(data, NUMPY[tensor.dtype])
        return (values.astype(np.float64) * factor).astype(NUMPY[dtype]).tobytes()

    return Tensor(dtype, tensor.shape, read)


def float32(value: float) -> Tensor:
    """A number as a tensor without axes."""
    return Tensor("F32", (), lambda: struct.pack("<f", value))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a new safetensors file; the widest dtypes come first, so that all are aligned."""
    ordered = sorted(tensors, key=lambda name: (-BITS[tensors[name].dtype], name))
    placed = consecutive((name, tensors[name].dtype, tensors[name].shape) for name in ordered)
    with path.open("xb") as file:
        write_header(file, placed, {"format": "pt", **metadata})
        for name in ordered:
            data = tensors[name].read()
            if len(data) != placed[name].nbytes:
                raise OSError(f"{os.fspath(path)}: {name!r} does not have the size of its shape")
            file.write(data)
