"""A writer that mirrors the base: the same files, headers, names, dtypes and places of tensors."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import torch

from ggez_hub.errors import GgezError
from ggez_hub.merging.deltas import WeightIndex, stored_name
from ggez_hub.merging.kernels import Sink
from ggez_hub.merging.side_files import copy_range
from ggez_hub.merging.stored_tensors import TORCH_DTYPE
from ggez_hub.quantities import counted
from ggez_hub.safetensors_header import write_header


class MirrorWriter:
    """Writes each tensor to the place that the base's header gives it.

    A merged tensor is written block by block by the threads that compute it, a copied or saved one by
    a thread of its own; another one brings what is written to the disk meanwhile.
    """

    def __init__(
        self,
        base: WeightIndex,
        out: Path,
        wrote: Callable[[int], None] | None = None,
    ) -> None:
        """Create the weight files in `out` with the headers that the base gives them.

        `wrote` is called with bytes.
        """
        self._base = base
        self._wrote = wrote or (lambda _: None)
        self._missing = set(base)
        self._waiting: deque[tuple[Future[None], str]] = deque()
        self._writing = ThreadPoolExecutor(1, "ggez-write")
        self._files: dict[str, int] = {}
        self._sources: dict[str, int] = {}
        self._starts: dict[str, int] = {}
        self._flusher = Flusher()
        for path, file in base.files.items():
            target = out / path
            target.parent.mkdir(parents=True, exist_ok=True)
            self._sources[path] = os.open(file.path, os.O_RDONLY)
            self._files[path] = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            result = base.results[path]
            if result is file:
                copy_range(self._sources[path], self._files[path], 0, file.data_start)
                self._starts[path] = file.data_start
            else:
                header = BytesIO()
                self._starts[path] = write_header(header, result.tensors, result.metadata)
                _write_at(self._files[path], header.getbuffer(), 0)
            os.truncate(self._files[path], self._starts[path] + result.nbytes - result.data_start)

    def save_tensor(self, name: str, tensor: torch.Tensor) -> None:
        """Write one tensor, soon; raises GgezError if it is not what the base has there.

        Raises OSError for this or an earlier tensor that could not be written.
        """
        info = self._base[name]
        if tuple(tensor.shape) != info.shape or tensor.dtype != TORCH_DTYPE.get(info.dtype):
            raise GgezError(
                f"{name!r} came out as {tensor.dtype} {tuple(tensor.shape)}, "
                f"the base has {info.dtype} {info.shape}"
            )
        contiguous, write = tensor.contiguous(), self.sink(name).write
        self.wait(1)
        self.expect(name, self._writing.submit(write, 0, contiguous))

    def copy_tensor(self, name: str) -> None:
        """Copy one tensor of the base, soon; raises OSError as `save_tensor`."""
        path = self._base.file_of[name]
        file = self._base.files[path]
        info = file.tensors[stored_name(name)]
        start, source, target = file.data_start + info.start, self._sources[path], self._files[path]
        shift, stop = self._start(name) - start, start + info.nbytes
        self.wait(1)
        self.expect(name, self._writing.submit(copy_range, source, target, start, stop, shift))

    def sink(self, name: str) -> Sink:
        """Where the blocks of a tensor go, from any thread; it is to be expected, too."""
        file, start = self._files[self._base.file_of[name]], self._start(name)
        dtype = TORCH_DTYPE[self._base[name].dtype]

        def write(first: int, block: torch.Tensor) -> None:
            # As bytes: numpy, which the buffer protocol goes through, has no bfloat16.
            data = block.cpu().reshape(-1).view(torch.uint8).numpy().data
            _write_at(file, data, start + first * dtype.itemsize)

        return Sink(dtype, write)

    def _start(self, name: str) -> int:
        return self._starts[self._base.file_of[name]] + self._base[name].start

    def expect(self, name: str, written: Future[None]) -> None:
        """The tensor is in its place when `written` is done."""
        self._missing.discard(name)
        self._waiting.append((written, name))

    def wait(self, most: int) -> None:
        """Until at most so many tensors are expected; raises what writing one of them raised."""
        while len(self._waiting) > most:
            written, name = self._waiting.popleft()
            written.result()
            nbytes = self._base[name].nbytes
            self._flusher.written(self._files[self._base.file_of[name]], nbytes)
            self._wrote(nbytes)

    def finalize(self) -> None:
        """Close the files; raises GgezError if a tensor is missing, OSError as above."""
        if self._missing:
            some = ", ".join(sorted(self._missing)[:3])
            raise GgezError(
                f"{counted(len(self._missing), 'tensor was', 'tensors were')} not written: {some}"
            )
        self.wait(0)
        self._flusher.finish()
        self.close()

    def close(self) -> None:
        """Close the files; the merge is over, complete or not."""
        self._writing.shutdown(cancel_futures=True)
        self._flusher.close()
        for files in (self._files, self._sources):
            while files:
                os.close(files.popitem()[1])


class Flusher:
    """Brings files to the disk while they are still being written.

    Left alone, the system would keep a model of some gigabytes in memory until the end, and the
    end would wait for all of it.
    """

    EVERY = 1 << 26

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "ggez-flush")
        self._last: Future[None] | None = None
        self._new = 0

    def written(self, file: int, nbytes: int) -> None:
        """`nbytes` more were written to the descriptor `file`; called by one thread."""
        self._new += nbytes
        if self._new >= self.EVERY and (self._last is None or self._last.done()):
            self.finish()
            self._new = 0
            self._last = self._pool.submit(os.fsync, file)

    def finish(self) -> None:
        """Wait for what was begun; raises OSError if it failed."""
        if self._last is not None:
            self._last.result()

    def close(self) -> None:
        """Stop; nothing is brought to the disk after this."""
        self._pool.shutdown(cancel_futures=True)


def _write_at(file: int, data: bytes | memoryview, start: int) -> None:
    """Write all of `data`; the system may take it in several parts."""
    left = memoryview(data)
    while left:
        written = os.pwrite(file, left, start)
        left, start = left[written:], start + written
