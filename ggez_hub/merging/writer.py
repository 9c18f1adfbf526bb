"""A writer that mirrors the base: the same files, headers, names, dtypes and places of tensors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch
from mergekit.io.tasks import TensorWriterTask
from pydantic import PrivateAttr

from ggez_hub.errors import GgezError
from ggez_hub.merging.deltas import WeightIndex

TORCH_DTYPE = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8,
    "F8_E5M2": torch.float8_e5m2, "F8_E4M3": torch.float8_e4m3fn,
    "I16": torch.int16, "F16": torch.float16, "BF16": torch.bfloat16,
    "I32": torch.int32, "F32": torch.float32, "I64": torch.int64, "F64": torch.float64,
}  # fmt: skip


class IncompleteMerge(GgezError):
    """A tensor was not written, or not as the base has it."""


class MirrorWriter:
    """Writes each tensor to the place that the base's header gives it."""

    def __init__(
        self, base: WeightIndex, out: Path, wrote: Callable[[int], None] | None = None
    ) -> None:
        """Create the weight files in `out` with the base's headers; `wrote` is told bytes."""
        self._base = base
        self._wrote = wrote or (lambda _: None)
        self._pending = set(base)
        self._lock = threading.Lock()
        self._files: dict[str, BinaryIO] = {}
        for path, file in base.files.items():
            target = out / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with file.path.open("rb") as source:
                header = source.read(file.data_start)
            self._files[path] = opened = target.open("xb")
            opened.write(header)
            opened.truncate(file.nbytes)

    def save_tensor(self, name: str, tensor: torch.Tensor, clone: bool = False) -> None:
        """Write one tensor; raises IncompleteMerge if it is not what the base has there."""
        info = self._base[name]
        if tuple(tensor.shape) != info.shape or tensor.dtype != TORCH_DTYPE.get(info.dtype):
            raise IncompleteMerge(
                f"{name!r} came out as {tensor.dtype} {tuple(tensor.shape)}, "
                f"the base has {info.dtype} {info.shape}"
            )
        path = self._base.file_of[name]
        # As bytes: numpy, which the buffer protocol goes through, has no bfloat16.
        data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data
        with self._lock:
            file = self._files[path]
            file.seek(self._base.files[path].data_start + info.start)
            file.write(data)
            self._pending.discard(name)
        self._wrote(info.nbytes)

    def finalize(self) -> None:
        """Close the files; raises IncompleteMerge if a tensor is missing."""
        if self._pending:
            some = ", ".join(sorted(self._pending)[:3])
            raise IncompleteMerge(f"{len(self._pending)} tensors were not written: {some}")
        self.close()

    def close(self) -> None:
        """Close the files; the merge is over, complete or not."""
        for file in self._files.values():
            file.close()


class MirrorWriterTask(TensorWriterTask):
    """Gives mergekit's executor a MirrorWriter in place of its own writer."""

    _writer: MirrorWriter = PrivateAttr()

    @classmethod
    def of(cls, writer: MirrorWriter, out: Path) -> MirrorWriterTask:
        """The task that answers with `writer`."""
        task = cls(out_path=str(out), max_shard_size=-1)
        task._writer = writer
        return task

    def execute(self, **_kwargs: Any) -> MirrorWriter:
        return self._writer
