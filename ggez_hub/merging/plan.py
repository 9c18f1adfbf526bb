"""The plan and its execution: mergekit's planner and executor on a flat architecture.

Every tensor that the base's headers name is one weight, none optional, so that nothing can be lost
to a guess about layers. Tensors that no adapter touches are planned with the base alone. Inputs are
references whose loaders are ours: mergekit's own guess architectures, merge LoRAs to disk under a
name that ignores their content, and read only files called `model`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from mergekit.architecture.base import (
    ModelArchitecture,
    ModuleArchitecture,
    ModuleDefinition,
    WeightInfo,
)
from mergekit.common import ModelPath, ModelReference
from mergekit.config import (
    ConfigReader,
    InputModelDefinition,
    InputSliceDefinition,
    MergeConfiguration,
    OutputSliceDefinition,
)
from mergekit.graph import Executor, Task
from mergekit.io.lazy_tensor_loader import LazyTensorLoader, ShardedTensorIndex, ShardInfo
from mergekit.io.tasks import FinalizeModel, LoaderCache, SaveTensor
from mergekit.merge_methods import get, register
from mergekit.options import MergeOptions
from mergekit.plan import MergePlanner
from pydantic import PrivateAttr
from transformers import PretrainedConfig

from ggez_hub.merging.deltas import Delta, WeightIndex
from ggez_hub.merging.kernels import Workers
from ggez_hub.merging.mergekit_methods import BlockwiseMethod, GgezLinear, StreamedDelta
from ggez_hub.merging.methods import METHODS, NAME
from ggez_hub.merging.writer import MirrorWriter, MirrorWriterTask

# mergekit's executor compares every task with every result that it holds, and holds all results of
# SaveTensor until FinalizeModel: in one run its time would grow with the square of the tensors.
PART = 64


class StreamedReference(ModelReference):
    """An input that is read through a loader of its own.

    `model` must be unique among the inputs: mergekit keys tensors by it, and a collision would
    silently return one input in place of another.
    """

    _loader: LazyTensorLoader = PrivateAttr()

    @classmethod
    def of(cls, name: str, loader: LazyTensorLoader) -> StreamedReference:
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
        while self._files:
            os.close(self._files.popitem()[1])


class DeltaLoader(LazyTensorLoader):
    """An adapter's Deltas in place of a model's tensors; no regional model is ever written."""

    def __init__(self, delta: Delta, workers: Workers) -> None:
        super().__init__(_index(delta.name, dict.fromkeys(delta.touched, delta.name)))
        self._delta, self._workers = delta, workers

    def get_tensor(self, key: str, *args: Any, **kwargs: Any) -> torch.Tensor:
        return StreamedDelta.of(
            self._delta.by_rows(key), self._delta.base[key].shape, self._workers
        )


def _index(place: str, file_of: dict[str, str]) -> ShardedTensorIndex:
    shards = [
        ShardInfo(file, [name for name in file_of if file_of[name] == file])
        for file in sorted(set(file_of.values()))
    ]
    return ShardedTensorIndex(
        base_path=place, is_safetensors=True, tensor_paths=dict(file_of), shards=shards
    )


@dataclass(frozen=True)
class Weighted:
    """An adapter with its beta for each tensor that it is to change; none of them is 0."""

    delta: Delta
    betas: Mapping[str, float]


class FlatArchitecture(ModuleArchitecture):
    """A model without layers: the tensors of the base, by name."""

    def __init__(self, names: Sequence[str]) -> None:
        self._weights = [WeightInfo(name=name) for name in names]

    def pre_weights(self, config: PretrainedConfig) -> list[WeightInfo]:
        return self._weights

    def layer_weights(self, index: int, config: PretrainedConfig) -> list[WeightInfo]:
        return []

    def post_weights(self, config: PretrainedConfig) -> list[WeightInfo]:
        return []

    def num_layers(self, config: PretrainedConfig) -> int:
        return 0


class TouchedPlanner(MergePlanner):
    """Gives the method only those inputs that change a tensor, beside the base, with their betas."""

    betas: dict[StreamedReference, Mapping[str, float]]

    def plan_tensor(
        self,
        weight: WeightInfo,
        weights_in: list[WeightInfo],
        models: list[StreamedReference],
        cfg_reader: ConfigReader,
    ) -> None:
        needed = [
            (model, info)
            for model, info in zip(models, weights_in, strict=True)
            if model not in self.betas or weight.name in self.betas[model]
        ]
        sources = [
            InputSliceDefinition(
                model=model, layer_range=(0, 0), parameters={"beta": self.betas[model][weight.name]}
            )
            for model, _ in needed
            if model in self.betas
        ]
        super().plan_tensor(
            weight=weight,
            weights_in=[info for _, info in needed],
            models=[model for model, _ in needed],
            cfg_reader=cfg_reader.for_out_slice(OutputSliceDefinition(sources=sources)),
        )


def execute(
    base: WeightIndex,
    adapters: Sequence[Weighted],
    out: Path,
    *,
    method: str = NAME,
    wrote: Callable[[int], None] | None = None,
) -> None:
    """Merge the weight files of `base` with `adapters` into `out`, an existing folder.

    `method` is a key of METHODS. `wrote` is called with the bytes of each tensor as it is written.
    Raises GgezError, or what the loaders raise; the caller removes `out` then.
    """
    parts = [sorted(part) for part in _parts(list(base))]
    loader = BaseLoader(base, chain.from_iterable(parts))
    base_reference = StreamedReference.of(f"base:{base.folder}", loader)
    active: dict[StreamedReference, Weighted] = {}
    with Workers(max(info.nbytes for info in base.values())) as workers:
        writer = MirrorWriter(base, out, wrote, workers.slots.give_back)
        try:
            for number, weighted in enumerate(adapters):
                deltas = DeltaLoader(weighted.delta, workers)
                name = f"delta:{number}:{weighted.delta.name}"
                active[StreamedReference.of(name, deltas)] = weighted
            task = MirrorWriterTask.of(writer, out)
            saves = _saves(base, base_reference, active, task, registered_method(method))
            for part in parts:
                _run([saves[name] for name in part])
            _run([FinalizeModel(tensor_save_tasks=(), writer_task=task)])
        finally:
            writer.close()
            loader.close()
            # mergekit keeps loaders for the life of the process; ours belong to this merge.
            for reference in (base_reference, *active):
                LoaderCache.loaders.pop(reference, None)


def registered_method(name: str) -> str:
    """What mergekit calls the method of METHODS, which is registered there at the first use."""
    method = METHODS.find(name)
    registered = name if method is None else f"ggez_{name}"
    try:
        get(registered)
    except RuntimeError:
        register(BlockwiseMethod(registered, method) if method else GgezLinear())
    return registered


def _parts(names: list[str]) -> list[list[str]]:
    """The tensors in the order of the files, in parts of bounded length."""
    return [names[start : start + PART] for start in range(0, len(names), PART)]


def _run(tasks: list[Task[Any]]) -> None:
    """Let mergekit's executor do the tasks, in the order of the names of their tensors."""
    for _ in Executor(tasks).run(quiet=True):
        pass


def _saves(
    base: WeightIndex,
    base_reference: StreamedReference,
    active: dict[StreamedReference, Weighted],
    writer_task: MirrorWriterTask,
    method: str,
) -> dict[str, SaveTensor]:
    """mergekit's plan: for each tensor the task that loads, merges and saves it."""
    configuration = MergeConfiguration(
        merge_method=method,
        base_model=base_reference,
        models=[
            InputModelDefinition(model=base_reference),
            *(InputModelDefinition(model=reference) for reference in active),
        ],
    )
    architecture = ModelArchitecture(
        modules={"model": ModuleDefinition(architecture=FlatArchitecture(list(base)))},
        architectures=["flat"],
        model_type="flat",
    )
    planner = TouchedPlanner(configuration, architecture, MergeOptions(), PretrainedConfig())
    planner.betas = {reference: weighted.betas for reference, weighted in active.items()}
    planned = planner.plan_to_disk(writer_task.out_path)
    return {
        task.tensor_name: task.model_copy(update={"writer_task": writer_task})
        for task in planned
        if isinstance(task, SaveTensor)
    }
