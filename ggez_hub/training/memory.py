"""What a step takes of a device's memory, found without the memory: no weight is loaded.

Weights, gradients and moments are counted. Activations are those that autograd keeps in a forward
pass of one micro-batch over fake tensors (torch's FakeTensorMode: shapes and dtypes, no data), with
the arithmetic of the recipe. What kernels use in passing, and what the allocator leaves unused, is
not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ggez_hub.training import lora
from ggez_hub.training.job import Job

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
