"""Inputs of a merge as mergekit sees them: references whose loaders are ours.

mergekit's own references guess architectures, merge LoRAs to disk under a name that ignores their
content, and read only files called `model`. These do none of it.
"""

from __future__ import annotations

from typing import Any

import torch
from mergekit.common import ModelPath, ModelReference
from mergekit.io.lazy_tensor_loader import LazyTensorLoader, ShardedTensorIndex, ShardInfo
from pydantic import PrivateAttr
from transformers import PretrainedConfig

from ggez_hub.merging.deltas import Delta, WeightIndex


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
    """The base's tensors, whatever its files are called."""

    def __init__(self, base: WeightIndex) -> None:
        super().__init__(_index(str(base.folder), base.file_of))
        self._base = base

    def get_tensor(self, key: str, *args: Any, **kwargs: Any) -> torch.Tensor:
        return self._base.read(key)


class DeltaLoader(LazyTensorLoader):
    """An adapter's Deltas in place of a model's tensors; no regional model is ever written."""

    def __init__(self, delta: Delta) -> None:
        super().__init__(_index(delta.name, dict.fromkeys(delta.touched, delta.name)))
        self._delta = delta

    def get_tensor(self, key: str, *args: Any, **kwargs: Any) -> torch.Tensor:
        return self._delta.tensor(key)


def _index(place: str, file_of: dict[str, str]) -> ShardedTensorIndex:
    shards = [
        ShardInfo(file, [name for name in file_of if file_of[name] == file])
        for file in sorted(set(file_of.values()))
    ]
    return ShardedTensorIndex(
        base_path=place, is_safetensors=True, tensor_paths=dict(file_of), shards=shards
    )
