"""Inputs of a merge as mergekit sees them: references whose loaders are ours.

mergekit's own references guess architectures, merge LoRAs to disk under a name that ignores their
content, and read only files called `model`. These do none of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import torch
from mergekit.common import ModelPath, ModelReference
from mergekit.io.lazy_tensor_loader import LazyTensorLoader, ShardedTensorIndex, ShardInfo
from pydantic import PrivateAttr
from torch.utils._pytree import tree_map_only
from transformers import PretrainedConfig

from ggez_hub.merging.delta_rows import ByRows, RowDelta, Whole, whole
from ggez_hub.merging.deltas import Delta, WeightIndex
from ggez_hub.merging.kernels import Workers


class StreamedDelta(torch.Tensor):
    """Delta of one tensor as mergekit passes it on: float64, with a shape but without elements.

    Whoever knows it takes rows of it; for any other operation of torch its elements are computed.
    """

    rows: RowDelta
    workers: Workers

    @staticmethod
    def of(rows: RowDelta, shape: tuple[int, ...], workers: Workers) -> StreamedDelta:
        """The Delta `rows` of a tensor of `shape`, and the threads that are to compute it."""
        streamed: StreamedDelta = torch.Tensor._make_wrapper_subclass(
            StreamedDelta, shape, dtype=torch.float64, device=torch.device("cpu")
        )
        streamed.rows, streamed.workers = rows, workers
        return streamed

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        args, kwargs = tree_map_only(cls, lambda t: whole(t.rows, t.shape), (args, kwargs or {}))
        return func(*args, **kwargs)


class StreamedReference(ModelReference):
    """An input that is read through a loader of its own.

    `model` must be unique among the inputs: mergekit keys tensors by it, and a collision would
    silently return one input in place of another.
    """

    _loader: LazyTensorLoader = PrivateAttr()

    @classmethod
    def of(cls, name: str, loader: LazyTensorLoader) -> StreamedReference:
        """A reference called `name`."""
        reference = cls(model=ModelPath(path=name))
        reference._loader = loader
        return reference

    def config(self, trust_remote_code: bool = False) -> PretrainedConfig:
        return PretrainedConfig()

    def merged(self, *args: Any, **kwargs: Any) -> StreamedReference:
        return self

    def lazy_loader(self, *args: Any, **kwargs: Any) -> LazyTensorLoader:
        return self._loader


class BaseLoader(LazyTensorLoader):
    """The base's tensors, whatever its files are called; views of the files, never copies."""

    def __init__(self, base: WeightIndex, order: Iterable[str]) -> None:
        """`order` is that in which the tensors will be asked for, more or less."""
        super().__init__(_index(str(base.folder), base.file_of))
        self._base = base
        self._ahead = ReadAhead(base, order)

    def get_tensor(self, key: str, *args: Any, **kwargs: Any) -> torch.Tensor:
        self._ahead.past(key)
        return self._base.read(key)

    def close(self) -> None:
        """Stop reading ahead."""
        self._ahead.close()


class ReadAhead:
    """Asks the system for the tensors that are read next, while those before are merged."""

    BYTES = 1 << 27

    def __init__(self, base: WeightIndex, order: Iterable[str]) -> None:
        self._base = base
        self._coming = iter(order)
        self._asked: dict[str, int] = {}
        self._bytes = 0
        self._files = {path: os.open(file.path, os.O_RDONLY) for path, file in base.files.items()}

    def past(self, name: str) -> None:
        """`name` is read now: ask for what comes after it."""
        if not hasattr(os, "posix_fadvise"):
            return
        self._bytes -= self._asked.pop(name, 0)
        while self._bytes < self.BYTES and (following := next(self._coming, None)) is not None:
            info, path = self._base[following], self._base.file_of[following]
            start = self._base.files[path].data_start + info.start
            os.posix_fadvise(self._files[path], start, info.nbytes, os.POSIX_FADV_WILLNEED)
            self._asked[following] = info.nbytes
            self._bytes += info.nbytes

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.popitem()[1])


class DeltaLoader(LazyTensorLoader):
    """An adapter's Deltas in place of a model's tensors; no regional model is ever written."""

    def __init__(self, delta: Delta, base: WeightIndex, workers: Workers) -> None:
        super().__init__(_index(delta.name, dict.fromkeys(delta.touched, delta.name)))
        self._delta = delta
        self._base = base
        self._workers = workers

    def get_tensor(self, key: str, *args: Any, **kwargs: Any) -> torch.Tensor:
        if isinstance(self._delta, ByRows):
            rows, shape = self._delta.by_rows(key), self._base[key].shape
        else:
            values = self._delta.tensor(key)
            rows, shape = Whole(values), tuple(values.shape)
        return StreamedDelta.of(rows, shape, self._workers)


def _index(place: str, file_of: dict[str, str]) -> ShardedTensorIndex:
    shards = [
        ShardInfo(file, [name for name in file_of if file_of[name] == file])
        for file in sorted(set(file_of.values()))
    ]
    return ShardedTensorIndex(
        base_path=place, is_safetensors=True, tensor_paths=dict(file_of), shards=shards
    )
