"""How the models of a family are trained: its recipe, what of a model learns, the model in training.

The training loop relies on this:

- `TrainingModule.batch` is called in worker processes. `draw` and `backward` follow for each step;
  `backward` leaves the *sum* of the losses' gradients in the parameters. The loop divides by the
  number of items in all processes, so that accumulation and several processes change nothing.
- All random generators are seeded with (seed, step) before a step, so that a resumed run gives the
  same weights: nothing random is kept from one step to the next. `draw` comes first, with the same
  generator in every process; dropout is drawn after it.
- What must survive a kill is a parameter or a persistent buffer of the module. What is not below
  `model` (a VAE, text encoders) is never trained.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from ggez_hub.training.output import write_adapter

if TYPE_CHECKING:
    import datasets

    from ggez_hub.training.recipe import TrainRecipe


class Loss(NamedTuple):
    """The sum of the losses of some items (reply tokens, pictures) and their number, as scalars.

    `total` is float32 or wider.
    """

    total: Tensor
    items: Tensor


def sum_losses(losses: Sequence[Loss]) -> Loss:
    """The loss of all items together."""
    return Loss(*(torch.stack(parts).sum() for parts in zip(*losses, strict=True)))


@dataclass(frozen=True)
class StepContext:
    """How a step computes: in this process alone, or wrapped for mixed precision and several.

    call       what `TrainingModule.forward` returns
    backward   of a scalar
    no_sync    a context in which gradients stay in this process, `rank` of `processes`
    """

    call: Callable[..., Any]
    backward: Callable[[Tensor], None]
    no_sync: Callable[[], Any] = nullcontext
    rank: int = 0
    processes: int = 1


class TrainingModule(nn.Module, ABC):
    """A model in training; `model` is saved, under the module names of the base's library."""

    model: Any

    @abstractmethod
    def batch(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Rows of the table as what `forward` takes, on the CPU."""

    @abstractmethod
    def forward(self, **batch: Any) -> Any:
        """The Loss of a batch (or what the module's own `loss` and `backward` make one of)."""

    def loss(self, context: StepContext, batches: Sequence[Mapping[str, Any]]) -> Loss:
        """The loss of a step's batches without gradients, for validation."""
        return sum_losses([context.call(**batch) for batch in batches])

    def backward(self, context: StepContext, batches: Sequence[Mapping[str, Any]]) -> Loss:
        """Add the gradients of the sum of the losses; the Loss is detached."""
        found = []
        for number, batch in enumerate(batches, 1):
            with nullcontext() if number == len(batches) else context.no_sync():
                loss = context.call(**batch)
                context.backward(loss.total)
            found.append(Loss(loss.total.detach(), loss.items))
        return sum_losses(found)

    def train(self, mode: bool = True) -> Self:
        """As usual, but batch norms keep the base's statistics: an adapter does not store any."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def draw(
        self, batches: Sequence[Mapping[str, Any]], rank: int, processes: int
    ) -> list[Mapping[str, Any]]:
        """The batches of this process with what is random of each example: noise.

        All processes have the same number of examples, in order of their ranks.
        """
        return list(batches)

    def begin(self, stage: str) -> None:
        """Called before each stage of the recipe (see TrainRecipe.stages)."""

    def prepare(
        self, rows: datasets.Dataset, folder: Path, device: torch.device
    ) -> datasets.Dataset:
        """The table that is trained on, made once: cached latents, in a `folder` that is kept."""
        return rows

    def after_step(self) -> None:
        """Called after each step of the optimiser."""

    def derived_settings(self) -> dict[str, Any]:
        """Settings that the base decides where the recipe does not, for the card."""
        return {}

    def finish(self) -> None:
        """Called once, before the weights are written: puts averaged weights in place."""

    def save_memory(self) -> None:
        """Compute activations again in the backward pass, where the library can."""
        checkpoint_activations(self.model)


def checkpoint_activations(model: Any) -> None:
    """Have a model of transformers compute its activations again in the backward pass."""
    # Older versions have the second name only.
    enable = getattr(model, "activation_checkpointing_enable", None)
    (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})


ModuleTree = Mapping[str, nn.Module]
"""The modules of a model on the meta device by path, the model itself as the empty path."""


@dataclass(frozen=True)
class TrainingBackend:
    """How the models of a family are trained.

    recipe       a TrainRecipe with the family's own keys, and its DEFAULTS for each method
    learns       whether the module or parameter at a path belongs to what is trained
    targets      the modules that get factors where the recipe does not name any
    open         the base as a module in training, its weights in `dtype`; raises NotLoaded
    row_problem  why a row is not an example, None if it is one
    trace        run the model of the tree forward for n examples on fake tensors, as in training:
                 `train --plan` counts what it keeps
    check        raise for a base, in its folder, that cannot be trained, or that keys do not fit
    prepared     bytes of an example in the table that `TrainingModule.prepare` makes
    contrastive  whether the examples of a batch are told apart: then no two are of one picture
    write        write an adapter as the family's library loads it: model, folder, the base's
                 repository and commit
    """

    recipe: type[TrainRecipe]
    learns: Callable[[Any, ModuleTree], Callable[[str], bool]]
    targets: Callable[[Any, ModuleTree], Collection[str]]
    open: Callable[[Path, Any, torch.dtype], TrainingModule]
    row_problem: Callable[[Mapping[str, Any]], str | None]
    trace: Callable[[Any, ModuleTree, int], object]
    check: Callable[[Any, Path], None] = lambda recipe, folder: None
    prepared: Callable[[Any, ModuleTree], int] = lambda recipe, tree: 0
    contrastive: bool = False
    write: Callable[[Any, Path, str, str | None], None] = write_adapter
