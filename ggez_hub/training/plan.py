"""What a run will cost, before anything of it begins; a base's configuration is enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ggez_hub.errors import GgezError
from ggez_hub.hardware import device_bytes, free_disk_bytes, memory_bytes
from ggez_hub.training import lora
from ggez_hub.training.batches import BatchOrder
from ggez_hub.training.examples import Examples, reasons
from ggez_hub.training.job import Job
from ggez_hub.training.recipe import Stage
from ggez_hub.training.validation_split import is_held_out

# AdamW's two moments, in float32 like what learns.
MOMENTS, FLOAT32 = 8, 4


@dataclass(frozen=True)
class Memory:
    """Bytes on one device; `activations` is None where the forward pass could not be followed."""

    weights: int
    gradients: int
    optimiser: int
    activations: int | None

    @property
    def total(self) -> int | None:
        """All of it, None if a part is not known."""
        if self.activations is None:
            return None
        return self.weights + self.gradients + self.optimiser + self.activations

    def as_dict(self) -> dict[str, int | None]:
        """As JSON."""
        return {**asdict(self), "total": self.total}


def skeleton_in_training(job: Job) -> nn.Module:
    """The base on the meta device, with what learns marked and in its dtypes; raises BadRecipe."""
    recipe = job.recipe
    # As any module: a model of diffusers would warn of what it could keep in float32.
    model = nn.Module.to(job.tree[""], lora.at_dtype(recipe.precision, recipe.method))
    model.requires_grad_(False)
    if recipe.method == "lora":
        with torch.device("meta"):
            return lora.put_on(model, recipe, job.targets)
    for name in job.parameters:
        model.get_parameter(name).requires_grad_(True)
    return model


def memory_of(job: Job, model: nn.Module) -> Memory:
    """What training `model`, the skeleton of the job, takes; it is of no use afterwards."""
    held = [*model.parameters(), *model.buffers()]
    learning = lora.trained_parameters(model)
    weights = sum(t.numel() * t.element_size() for t in held) + job.way.beside(job.recipe, job.tree)
    trace = job.way.trace
    try:
        activations = _kept(job, model, lambda: trace(job.recipe, job.tree, job.recipe.micro_batch))
    except Exception:  # a model's code may need data where there is none: then nothing is known
        activations = None
    return Memory(weights, FLOAT32 * learning, MOMENTS * learning, activations)


def _kept(job: Job, model: nn.Module, forward: Callable[[], object]) -> int:
    from torch._subclasses.fake_tensor import FakeTensorMode

    bf16 = job.recipe.precision == "bf16"
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device="cpu").train()
        with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
            ledger = _Ledger(_blocks(model) if job.recipe.gradient_checkpointing else {})
            with ledger.reading():
                forward()
    return ledger.total


class _Ledger:
    """Bytes that autograd keeps: outside of blocks, and in each block."""

    def __init__(self, blocks: Mapping[str, nn.Module]) -> None:
        self._blocks = blocks
        self._seen: set[int] = set()
        # The inputs of blocks, which are kept where blocks are computed again.
        self._given: set[int] = set()
        self._alive: list[Tensor] = []
        self._current: str | None = None
        self._of: dict[str | None, int] = {None: 0}
        self._inputs = 0

    @property
    def total(self) -> int:
        """Of blocks that are computed again only the inputs are kept, and one block at a time."""
        inside = [count for name, count in self._of.items() if name is not None]
        return self._of[None] + self._inputs + max(inside, default=0)

    @contextmanager
    def reading(self) -> Iterator[None]:
        hooks = []
        for name, block in self._blocks.items():
            hooks.append(block.register_forward_pre_hook(self._entering(name), with_kwargs=True))
            hooks.append(block.register_forward_hook(lambda *_: self._leave()))
        try:
            with torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor):
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def _pack(self, tensor: Tensor) -> Tensor:
        given = tensor.untyped_storage()._cdata in self._given
        if not isinstance(tensor, nn.Parameter) and not given and self._new(tensor, self._seen):
            count = tensor.untyped_storage().nbytes()
            self._of[self._current] = self._of.get(self._current, 0) + count
        return tensor

    def _new(self, tensor: Tensor, known: set[int]) -> bool:
        """Whether its memory is not known yet; it is from then on."""
        key = tensor.untyped_storage()._cdata
        if key in known:
            return False
        # What is alive keeps its address: none is taken for another.
        self._alive.append(tensor)
        known.add(key)
        return True

    def _entering(self, name: str) -> Callable[..., None]:
        def enter(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._current = name
            for value in (*args, *kwargs.values()):
                if isinstance(value, Tensor) and self._new(value, self._given):
                    self._inputs += value.untyped_storage().nbytes()

        return enter

    def _leave(self) -> None:
        self._current = None


def _blocks(model: nn.Module) -> dict[str, nn.Module]:
    """The layers of a stack, the outermost: what is computed again as a whole."""
    found: dict[str, nn.Module] = {}
    for path, module in model.named_modules():
        inside = any(path.startswith(f"{block}.") for block in found)
        if not inside and isinstance(module, nn.ModuleList | nn.Sequential) and len(module) > 1:
            found |= {f"{path}.{name}": layer for name, layer in module.named_children()}
    return found


# The share that is left for what is not counted.
PASSING = 0.2


@dataclass(frozen=True)
class StagePlan:
    """A stage: its examples and steps, None where its data is not there yet; `problem` says why.

    `rows` are all that the data has; `unused` are those that are no examples for the family, by
    reason; `held_out` of the examples are validated on, not trained on.
    """

    name: str
    rows: int | None
    examples: int | None
    steps: int | None
    problem: str | None = None
    unused: dict[str, int] = field(default_factory=dict)
    held_out: int = 0


@dataclass(frozen=True)
class Plan:
    """A run in figures; bytes. `modules` get factors; `fits` is None where something is not known."""

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
    device_bytes: int | None
    disk_bytes: int
    free_bytes: int

    @property
    def fits(self) -> bool | None:
        """Whether the disk has room, and the device; without one, this machine's memory.

        None also where only what kernels use in passing decides: a fifth is left for it.
        """
        if self.disk_bytes > self.free_bytes:
            return False
        room = self.device_bytes or memory_bytes()
        if room is None or self.memory.total is None:
            return None
        if self.memory.total > room:
            return False
        return True if self.memory.total * (1 + PASSING) <= room else None

    def as_dict(self) -> dict[str, Any]:
        """The JSON of `train --plan --json`."""
        document = asdict(self)
        return {**document, "memory": self.memory.as_dict(), "fits": self.fits}


def plan(job: Job, out: Path) -> Plan:
    """What training will cost; raises BadRecipe for a recipe that the base does not fit."""
    recipe = job.recipe
    job.check_base()
    parameters = sum(p.numel() for p in job.tree[""].parameters())
    modules = len(job.targets) if recipe.method == "lora" else 0
    model = skeleton_in_training(job)
    trained = lora.trained_parameters(model)
    prepared = job.way.prepared(recipe, job.tree)
    memory = memory_of(job, model)
    stages = tuple(_stage(job, stage) for stage in recipe.stages)
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
        device_bytes=device_bytes(),
        disk_bytes=_disk(job, trained, parameters)
        + prepared * sum(stage.examples or 0 for stage in stages),
        free_bytes=free_disk_bytes(out),
    )


def _stage(job: Job, stage: Stage) -> StagePlan:
    recipe = job.recipe
    try:
        examples = job.examples(stage)
        examples.check()
        found = examples.sorted_out(job.unused)
        held_out = _held_out(job, stage, examples)
    except GgezError as problem:
        return StagePlan(stage.name, None, None, stage.max_steps, problem.message)
    rows, count = found.total(), found[None]
    unused = reasons(found)
    if count - held_out < recipe.batch_size:
        few = "fewer examples than batch_size"
        return StagePlan(stage.name, rows, count, None, few, unused, held_out)
    order = BatchOrder(count - held_out, recipe.batch_size, recipe.seed)
    steps = order.steps(stage.epochs, stage.max_steps)
    return StagePlan(stage.name, rows, count, steps, unused=unused, held_out=held_out)


def _held_out(job: Job, stage: Stage, examples: Examples) -> int:
    """How many examples of the stage are the share that is validated on."""
    recipe = job.recipe
    share = recipe.validation.share if recipe.validation else None
    if share is None or stage.name != recipe.stages[-1].name:
        return 0
    rows = (row["id"] for row in examples.outlines() if job.unused(row) is None)
    return sum(is_held_out(identity, share, recipe.seed) for identity in rows)


def _disk(job: Job, trained: int, parameters: int) -> int:
    """The output, at most in float32; the state, twice while it is written; copies of the data."""
    recipe = job.recipe
    output = FLOAT32 * (trained if recipe.method == "lora" else parameters)
    state = (FLOAT32 + MOMENTS) * trained
    best = FLOAT32 * trained if recipe.early_stop else 0
    return output + 2 * state + best + sum(job.examples(stage).nbytes for stage in recipe.stages)
