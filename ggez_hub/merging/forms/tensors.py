"""Tensors of an adapter on their way into another file: bytes, never numbers.

A safetensors file is written here without torch: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.safetensors_header import BITS, WeightFile


@dataclass(frozen=True)
class Exponent:
    """Where the exponent lies in a number of `size` bytes: its bits in the last two bytes."""

    size: int
    last: int
    before: int


EXPONENTS: Mapping[str, Exponent] = {
    "F16": Exponent(2, 0x7C, 0x00),
    "BF16": Exponent(2, 0x7F, 0x80),
    "F32": Exponent(4, 0x7F, 0x80),
    "F64": Exponent(8, 0x7F, 0xF0),
}


def is_finite(data: bytes, dtype: str) -> bool:
    """Whether all numbers in `data`, whole numbers of `dtype`, are finite; so are all integers."""
    exponent = EXPONENTS.get(dtype)
    if exponent is None:
        return True
    last = data[exponent.size - 1 :: exponent.size]
    # Deleting all bytes whose exponent bits are not all ones leaves nothing, nearly always.
    if not last.translate(None, _below(exponent.last)):
        return True
    before = data[exponent.size - 2 :: exponent.size]
    full = (exponent.last, exponent.before)
    return all(
        (high & full[0], low & full[1]) != full for high, low in zip(last, before, strict=True)
    )


def _below(mask: int) -> bytes:
    return bytes(byte for byte in range(256) if byte & mask != mask)


CHUNK = 1 << 22
NUMPY = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}


class Tensor(Protocol):
    """A tensor whose bytes are somewhere: `dtype` as safetensors calls it."""

    @property
    def dtype(self) -> str:
        """F16, BF16, F32 and so on."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes, the outermost first."""

    def chunks(self) -> Iterator[bytes]:
        """The bytes in order, little-endian, row by row."""


@dataclass(frozen=True)
class Stored:
    """A tensor of a safetensors file, copied as it is; reading it raises BadAdapter for NaN and Inf."""

    file: WeightFile
    key: str

    @property
    def dtype(self) -> str:
        return self.file.tensors[self.key].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.file.tensors[self.key].shape

    def chunks(self) -> Iterator[bytes]:
        info = self.file.tensors[self.key]
        left = info.nbytes
        with self.file.path.open("rb") as file:
            file.seek(self.file.data_start + info.start)
            while left:
                data = file.read(min(left, CHUNK))
                if not data:
                    raise BadAdapter(f"{self.file.path} became shorter while it was read")
                left -= len(data)
                if not is_finite(data, info.dtype):
                    raise BadAdapter(
                        f"{self.file.path}: {self.key!r} is not finite: it holds NaN or Inf"
                    )
                yield data


def require_finite(file: WeightFile) -> None:
    """Raise BadAdapter for a tensor of the file that holds NaN or Inf."""
    for key in file.tensors:
        for _ in Stored(file, key).chunks():
            pass


@dataclass(frozen=True)
class Held:
    """A tensor in memory."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    def chunks(self) -> Iterator[bytes]:
        yield self.data


@dataclass(frozen=True)
class Padded:
    """A tensor that zeros make longer along one axis (0 or 1): the product B @ A stays the same."""

    tensor: Tensor
    axis: int
    size: int

    @property
    def dtype(self) -> str:
        return self.tensor.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        shape = self.tensor.shape
        return (*shape[: self.axis], self.size, *shape[self.axis + 1 :])

    def chunks(self) -> Iterator[bytes]:
        shape = self.tensor.shape
        width = math.prod(shape[self.axis :]) * BITS[self.dtype] // 8
        zeros = bytes(math.prod(self.shape[self.axis :]) * BITS[self.dtype] // 8 - width)
        data = b"".join(self.tensor.chunks())
        for start in range(0, len(data), width):
            yield data[start : start + width]
            yield zeros


@dataclass(frozen=True)
class Picked:
    """Some runs of rows of a tensor, one after the other."""

    tensor: Tensor
    runs: Sequence[range]

    @property
    def dtype(self) -> str:
        return self.tensor.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(map(len, self.runs)), *self.tensor.shape[1:])

    def chunks(self) -> Iterator[bytes]:
        width = math.prod(self.shape[1:]) * BITS[self.dtype] // 8
        data = b"".join(self.tensor.chunks())
        for run in self.runs:
            yield data[run.start * width : run.stop * width]


@dataclass(frozen=True)
class Multiplied:
    """A floating tensor times a number, rounded once: to float32, or float64 as it was."""

    tensor: Tensor
    factor: float

    @property
    def dtype(self) -> str:
        return "F64" if self.tensor.dtype == "F64" else "F32"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.shape

    def chunks(self) -> Iterator[bytes]:
        import numpy as np

        for data in self.tensor.chunks():
            if self.tensor.dtype == "BF16":
                # numpy has no bfloat16: it is the upper half of a float32.
                bits = np.frombuffer(data, "<u2").astype("<u4") << np.uint32(16)
                values = bits.view("<f4")
            else:
                values = np.frombuffer(data, NUMPY[self.tensor.dtype])
            product = values.astype(np.float64) * self.factor
            yield product.astype(NUMPY[self.dtype]).tobytes()


def float32(value: float) -> Held:
    """A number as a tensor without axes."""
    return Held("F32", (), struct.pack("<f", value))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a new safetensors file; the widest dtypes come first, so that all are aligned."""
    ordered = sorted(tensors, key=lambda name: (-BITS[tensors[name].dtype], name))
    header: dict[str, object] = {"__metadata__": {"format": "pt", **metadata}}
    end = 0
    for name in ordered:
        tensor = tensors[name]
        start, end = end, end + math.prod(tensor.shape) * BITS[tensor.dtype] // 8
        header[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    raw = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    raw += b" " * (-len(raw) % 8)
    with path.open("xb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        for name in ordered:
            file.writelines(tensors[name].chunks())
        if file.tell() != 8 + len(raw) + end:
            raise OSError(f"{os.fspath(path)}: a tensor does not have the size of its shape")
