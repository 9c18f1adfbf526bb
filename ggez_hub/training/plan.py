"""The cost of a run before it begins; a base's configuration is enough.

No weight is loaded: weights, gradients and moments are counted. Activations are those that autograd
keeps in a forward pass of one micro-batch over fake tensors (torch's FakeTensorMode: shapes and
dtypes, no data), with the arithmetic of the recipe. Temporary buffers of kernels, and what the
allocator leaves unused, are not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ggez_hub.errors import GgezError
from ggez_hub.hardware import device_bytes, free_disk_bytes, memory_bytes
from ggez_hub.training.batches import BatchOrder
from ggez_hub.training.job import Job
from ggez_hub.training.lora import add_lora, base_dtype, trained_parameters
from ggez_hub.training.recipe import Stage
from ggez_hub.training.sharding import blocks
from ggez_hub.training.validation_split import RowCounts, count_rows

# AdamW's two moments, in float32 like what learns.
MOMENTS, FLOAT32 = 8, 4
# The share that is left for what is not counted.
UNCOUNTED = 0.2


@dataclass(frozen=True)
class Memory:
    """Bytes on one device; `activations` is None where the forward pass could not be followed.

    gathered  of a sharded model, what is complete at once: what is in no stack of layers, and a layer,
              with their gradients, and the next layer
    """

    weights: int
    gradients: int
    optimiser: int
    activations: int | None
    gathered: int = 0

    @property
    def total(self) -> int | None:
        """The sum, None if a part is not known."""
        if self.activations is None:
            return None
        kept = self.weights + self.gradients + self.optimiser
        return kept + self.activations + self.gathered


@dataclass(frozen=True, kw_only=True)
class StagePlan(RowCounts):
    """A stage: its rows and steps; `problem` says why there are none."""

    name: str
    steps: int | None
    problem: str | None


@dataclass(frozen=True)
class Plan:
    """A run in figures, with sizes in bytes; `modules` get factors.

    `devices` are those over which the model is sharded; `memory` is that of one of them.
    """

    base: str
    family: str
    method: str
    parameters: int
    trained_parameters: int
    modules: int
    batch_size: int
    micro_batch: int
    stages: tuple[StagePlan, ...]
    memory: Memory
    devices: int
    device_bytes: int | None
    disk_bytes: int
    free_bytes: int

    @property
    def fits(self) -> bool | None:
        """Whether the disk has room, and the device; without a device, this machine's memory.

        None where something is not known, or where only what is not counted decides.
        """
        if self.disk_bytes > self.free_bytes:
            return False
        room = self.device_bytes or memory_bytes()
        if room is None or self.memory.total is None:
            return None
        if self.memory.total > room:
            return False
        return True if self.memory.total * (1 + UNCOUNTED) <= room else None

    def as_dict(self) -> dict[str, Any]:
        """The JSON of `train --plan --json`."""
        memory = {**asdict(self.memory), "total": self.memory.total}
        return {**asdict(self), "memory": memory, "fits": self.fits}


def plan(job: Job, out: Path, devices: int = 1) -> Plan:
    """The cost of training into `out`, sharded over so many devices.

    Raises BadRecipe for a recipe that does not fit the base.
    """
    recipe = job.recipe
    job.check_base()
    parameters = sum(p.numel() for p in job.tree[""].parameters())
    modules = len(job.targets)
    model = skeleton_in_training(job)
    trained = trained_parameters(model)
    prepared = job.backend.prepared(recipe, job.tree)
    memory = memory_of(job, model, devices)
    stages = tuple(_stage(job, stage) for stage in recipe.stages)
    # The output, at most in float32; the state, twice while it is written; copies of the data.
    copies = sum(job.examples(stage).nbytes for stage in recipe.stages)
    best = FLOAT32 * trained if recipe.early_stop else 0
    disk = (
        FLOAT32 * (trained if recipe.method == "lora" else parameters)
        + 2 * (FLOAT32 + MOMENTS) * trained
        + best
        + copies
        + prepared * sum(stage.examples or 0 for stage in stages)
    )
    return Plan(
        base=job.base.repo or job.base.given,
        family=recipe.family,
        method=recipe.method,
        parameters=parameters,
        trained_parameters=trained,
        modules=modules,
        batch_size=recipe.batch_size,
        micro_batch=recipe.micro_batch,
        stages=stages,
        memory=memory,
        devices=devices,
        device_bytes=device_bytes(),
        disk_bytes=disk,
        free_bytes=free_disk_bytes(out),
    )


def _stage(job: Job, stage: Stage) -> StagePlan:
    try:
        job.examples(stage).check()
        found = count_rows(job, stage)
    except GgezError as error:
        return StagePlan(name=stage.name, steps=stage.max_steps, problem=error.message)
    left = (found.examples or 0) - found.held_out
    order = BatchOrder(left, job.recipe.batch_size, job.recipe.seed)
    enough = order.steps_per_epoch > 0
    return StagePlan(
        **vars(found),
        name=stage.name,
        steps=order.steps(stage.epochs, stage.max_steps) if enough else None,
        problem=None if enough else "fewer examples than batch_size",
    )


def skeleton_in_training(job: Job) -> nn.Module:
    """The base on the meta device, with what learns marked and in its dtypes; raises BadRecipe."""
    # As any module: a model of diffusers would warn of what it could keep in float32.
    model = nn.Module.to(job.tree[""], base_dtype(job.recipe))
    model.requires_grad_(False)
    if job.recipe.method == "lora":
        with torch.device("meta"):
            return add_lora(model, job.recipe, job.targets)
    for name in job.parameters:
        model.get_parameter(name).requires_grad_(True)
    return model


def memory_of(job: Job, model: nn.Module, devices: int = 1) -> Memory:
    """The memory for training `model`, the skeleton of the job, which is of no use afterwards."""
    learning = trained_parameters(model)
    weights = sum(map(_nbytes, [*model.parameters(), *model.buffers()]))
    gathered = _gathered(model) if devices > 1 else 0
    try:
        activations = _activations(job, model)
    except Exception:  # a model's code may need data where there is none: then nothing is known
        activations = None
    weights, gradients, moments = (
        -(-kept // devices) for kept in (weights, FLOAT32 * learning, MOMENTS * learning)
    )
    return Memory(weights, gradients, moments, activations, gathered)


def _gathered(model: nn.Module) -> int:
    """What no stack of layers holds, and two layers: one with its gradients, one that is fetched."""

    def sizes(parameters: Iterable[nn.Parameter]) -> tuple[int, int]:
        """Weights, and weights with gradients."""
        own = list(parameters)
        weights = sum(map(_nbytes, own))
        return weights, weights + sum(FLOAT32 * p.numel() for p in own if p.requires_grad)

    layers = blocks(model)
    inside = {p for layer in layers.values() for p in layer.parameters()}
    _, outside = sizes(p for p in model.parameters() if p not in inside)
    fetched, used = max((sizes(layer.parameters()) for layer in layers.values()), default=(0, 0))
    return outside + used + fetched


def _nbytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _activations(job: Job, model: nn.Module) -> int:
    from torch._subclasses.fake_tensor import FakeTensorMode

    recipe = job.recipe
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device="cpu").train()
        bf16 = recipe.precision == "bf16"
        with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
            counter = _ActivationCounter(blocks(model) if recipe.gradient_checkpointing else {})
            with counter.counting():
                job.backend.trace(recipe, job.tree, recipe.micro_batch)
    return counter.total


class _ActivationCounter:
    """Bytes that autograd keeps: outside of blocks, and in each checkpointed block.

    Tensors are known by the address of their memory, and are held so that no other one gets it.
    """

    def __init__(self, blocks: Mapping[str, nn.Module]) -> None:
        self._blocks = blocks
        self._block: str | None = None
        self._bytes: Counter[str | None] = Counter()
        self._saved: dict[int, Tensor] = {}
        # The inputs of blocks, which are kept where blocks are checkpointed.
        self._inputs: dict[int, Tensor] = {}

    @property
    def total(self) -> int:
        """Of checkpointed blocks the inputs are kept, and the activations of one at a time."""
        inputs = sum(tensor.untyped_storage().nbytes() for tensor in self._inputs.values())
        inside = [count for name, count in self._bytes.items() if name is not None]
        return self._bytes[None] + inputs + max(inside, default=0)

    @contextmanager
    def counting(self) -> Iterator[None]:
        hooks = []
        for name, block in self._blocks.items():
            enter = partial(self._enter, name)
            hooks.append(block.register_forward_pre_hook(enter, with_kwargs=True))
            hooks.append(block.register_forward_hook(lambda *_: self._leave()))
        try:
            with torch.autograd.graph.saved_tensors_hooks(self._save, lambda tensor: tensor):
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def _save(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        known = storage._cdata in self._saved or storage._cdata in self._inputs
        if not known and not isinstance(tensor, nn.Parameter):
            self._saved[storage._cdata] = tensor
            self._bytes[self._block] += storage.nbytes()
        return tensor

    def _enter(
        self, name: str, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._block = name
        for value in (*args, *kwargs.values()):
            if isinstance(value, Tensor):
                self._inputs.setdefault(value.untyped_storage()._cdata, value)

    def _leave(self) -> None:
        self._block = None
