"""Headers of safetensors files, checked without torch: what tensors a weight file holds, and where.

Format: https://github.com/huggingface/safetensors#format: 8 bytes of little-endian header length,
a JSON header, then the tensors' bytes.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ggez_hub.errors import GgezError

# The format's own limit (safetensors MAX_HEADER_SIZE), hence what a hostile file may cost.
MAX_HEADER_BYTES = 25_000_000
# A clone without Git LFS has these in place of weights (git-lfs's docs/spec.md).
LFS_POINTER, MAX_POINTER_BYTES = b"version ", 1024
CUT = "Fetch it again: perhaps it was cut off, or it is a page that says why it is not there."
# What torch can hold.
MAX_RANK, MAX_SIZE = 64, 1 << 63

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


class BadWeights(GgezError):
    """A weight file is not what its format promises."""


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as its header describes it; `start` and `end` count from the first data byte."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def nbytes(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class WeightFile:
    """A safetensors file: where it is, its tensors, and where their bytes begin."""

    path: Path
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str] = field(default_factory=dict)
    data_start: int = 0

    @property
    def nbytes(self) -> int:
        return self.data_start + max((t.end for t in self.tensors.values()), default=0)

    def read(self, name: str) -> bytearray:
        """The bytes of a tensor; raises BadWeights for a file that was cut since.

        safe_open would read the header again for each tensor: its time grows with their square.
        """
        info = self.tensors[name]
        with self.path.open("rb") as file:
            file.seek(self.data_start + info.start)
            data = bytearray(file.read(info.nbytes))
        if len(data) != info.nbytes:
            raise BadWeights(f"{self.path} became shorter while it was read")
        return data


def read_header(path: Path) -> WeightFile:
    """Read and check the header of a safetensors file.

    Raises BadWeights if the header is too large, is not valid JSON, or describes tensors that
    overlap, leave gaps, reach beyond the file or do not have the size of their shape.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = header_length(file.read(8), size, path)
        raw = file.read(length)
    tensors, metadata = parse_header(raw, size - 8 - length, path)
    return WeightFile(path, tensors, metadata, 8 + length)


def header_length(start: bytes, size: int, where: Path | str) -> int:
    """Bytes of the header that follows the first eight of a file of `size`; raises BadWeights."""
    if len(start) < 8:
        raise BadWeights(f"{where} is not a safetensors file: it has only {size} bytes", CUT)
    (length,) = struct.unpack("<Q", start[:8])
    if start.startswith(LFS_POINTER) and size < MAX_POINTER_BYTES:
        raise BadWeights(
            f"{where} is a pointer of Git LFS, not the weights themselves",
            "Fetch the file itself: `git lfs pull` in its repository, or `hf download`.",
        )
    if length > min(MAX_HEADER_BYTES, size - 8):
        raise BadWeights(
            f"{where} is not a safetensors file: its header claims {length:,} bytes, "
            f"the file has {size:,} (headers are limited to {MAX_HEADER_BYTES:,})",
            CUT,
        )
    return int(length)


def parse_header(
    raw: bytes, data_bytes: int, where: Path | str
) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """Tensors and metadata of a header with `data_bytes` behind it; raises as `read_header`."""
    try:
        # Of bytes Python would take UTF-16 and UTF-32 too, which no other reader does.
        header = json.loads(raw.decode("utf-8"))
        metadata = header.pop("__metadata__", {})
        tensors = {name: _tensor_info(where, name, entry) for name, entry in header.items()}
        if not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("the metadata are not a mapping of strings")
    except (
        ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError,
    ) as error:  # fmt: skip
        raise BadWeights(f"{where} has no valid safetensors header: {error}") from error
    _check_layout(where, tensors, data_bytes)
    return tensors, metadata


def _tensor_info(path: Path | str, name: str, entry: dict[str, object]) -> TensorInfo:
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in BITS:
        raise BadWeights(f"{path}: tensor {name!r} has the unknown dtype {dtype!r}")
    if not isinstance(shape, list) or not isinstance(offsets, list):
        raise BadWeights(f"{path}: tensor {name!r} has no shape or offsets")
    # Sizes are multiplied: those of a hostile header would have millions of digits.
    sizes = (*shape, *offsets)
    if len(shape) > MAX_RANK or not all(type(x) is int and 0 <= x < MAX_SIZE for x in sizes):
        raise BadWeights(f"{path}: tensor {name!r} has a shape or offsets that are not sizes")
    start, end = offsets
    if (end - start) * 8 != math.prod(shape) * BITS[str(dtype)]:
        raise BadWeights(f"{path}: tensor {name!r} does not have the size of its shape")
    return TensorInfo(str(dtype), tuple(shape), start, end)


def _check_layout(path: Path | str, tensors: Mapping[str, TensorInfo], data_bytes: int) -> None:
    position = 0
    for name, info in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if info.start != position:
            problem = "overlaps another" if info.start < position else "leaves a gap before it"
            raise BadWeights(f"{path}: tensor {name!r} {problem}")
        position = info.end
    if position != data_bytes:
        problem = "truncated" if position > data_bytes else "longer than its header says"
        raise BadWeights(
            f"{path} is {problem}: {data_bytes:,} bytes of data for {position:,} in the header"
        )


def consecutive(tensors: Iterable[tuple[str, str, Sequence[int]]]) -> dict[str, TensorInfo]:
    """Name, dtype and shape of tensors that follow each other in a file, in this order."""
    placed, end = {}, 0
    for name, dtype, shape in tensors:
        start, end = end, end + math.prod(shape) * BITS[dtype] // 8
        placed[name] = TensorInfo(dtype, tuple(shape), start, end)
    return placed


def write_header(
    file: BinaryIO, tensors: Mapping[str, TensorInfo], metadata: Mapping[str, str]
) -> int:
    """Write the header of a safetensors file, whose data follow; returns the bytes written."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    for name, info in tensors.items():
        offsets = [info.start, info.end]
        header[name] = {"dtype": info.dtype, "shape": list(info.shape), "data_offsets": offsets}
    raw = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    raw += b" " * (-len(raw) % 8)
    return file.write(struct.pack("<Q", len(raw)) + raw)
