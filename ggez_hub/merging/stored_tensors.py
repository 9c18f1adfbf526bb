"""Tensors of weight files as torch's, without a copy."""

from __future__ import annotations

import mmap

import torch

from ggez_hub.safetensors_header import BadWeights, WeightFile

TORCH_DTYPE = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8,
    "F8_E5M2": torch.float8_e5m2, "F8_E4M3": torch.float8_e4m3fn, "F8_E8M0": torch.float8_e8m0fnu,
    "I16": torch.int16, "U16": torch.uint16, "F16": torch.float16, "BF16": torch.bfloat16,
    "I32": torch.int32, "U32": torch.uint32, "F32": torch.float32,
    "I64": torch.int64, "U64": torch.uint64, "F64": torch.float64, "C64": torch.complex64,
}  # fmt: skip


def map_tensor(file: WeightFile, name: str) -> torch.Tensor:
    """A tensor whose memory is that of the file, changes to which are its own.

    Each has a mapping to itself: what was read of a model does not stay in the process's memory,
    as with one mapping of the file. Raises KeyError, and BadWeights for a file that was cut since.
    """
    info, dtype = file.tensors[name], TORCH_DTYPE[file.tensors[name].dtype]
    if not info.nbytes:
        return torch.empty(info.shape, dtype=dtype)
    start = file.data_start + info.start
    before = start % mmap.ALLOCATIONGRANULARITY
    if start % dtype.itemsize:
        return torch.frombuffer(file.read(name), dtype=dtype).reshape(info.shape)
    try:
        with file.path.open("rb") as opened:
            memory = mmap.mmap(
                opened.fileno(),
                before + info.nbytes,
                offset=start - before,
                access=mmap.ACCESS_COPY,
            )
    except ValueError as error:
        raise BadWeights(f"{file.path} became shorter while it was read") from error
    return torch.frombuffer(memory, dtype=dtype, offset=before).reshape(info.shape)
