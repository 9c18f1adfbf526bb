"""What a family of models is to training, and how a new one is added.

A family is a module with a recipe (its keys and defaults), a learner and a `Way` in
ggez_hub.training.job. The loop knows nothing else of it:

1. The recipe of the run is read with `Way.recipe`, a TrainRecipe with the family's own keys and,
   in DEFAULTS, its settings for each method.
2. From the base's configuration alone (`Family.module_tree`: modules on the meta device, by path)
   `Way.learns` says which parts are trained, and `Way.targets` which linear layers get factors
   where the recipe names none. What matches nothing is refused here, before a weight is read.
3. `Way.open` loads the base from local files into a `Learner`. Its attribute `model` is the module
   with the names of the skeleton: PEFT's factors are put on it, or its own parameters are trained.
   What is not below `model` (a VAE, text encoders) is never trained: keep it out of the
   parameters, as a plain attribute in a list, unless it has to move with the model's device.
4. `Learner.prepared` may make another table of the examples, once: cached latents.
   `Way.unused` says why a row is no example; such rows are counted and left out.
5. For each step the loop takes the rows, has `Learner.batch` make tensors of each `micro_batch` of
   them (in a worker process), and calls `Learner.backward`, which leaves the *sum* of the losses'
   gradients in the parameters; the loop divides by the number of items over all of the step, so
   that accumulation and several processes change nothing.
6. Before each step all generators of random numbers are seeded with (seed, step): a run that goes
   on after a kill gives the same weights, and nothing random may be kept from one step to the next.
   `Learner.drawn` comes first, with the same generator in every process: what it draws for the
   whole batch depends neither on processes nor on `micro_batch`. Dropout is drawn after it.
7. `Learner.stepped` is called after each step (EMA). What has to survive a kill lies in parameters
   or persistent buffers of the learner.
8. `Learner.publish` brings the module into the state that is saved (EMA weights); the loop writes
   the adapter or the weights of `model`.
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
    """The sum of the losses of some items (answer tokens, pictures), and how many they are.

    Both are scalars; `total` is float32 or wider.
    """

    total: Tensor
    items: Tensor


def summed(losses: Sequence[Loss]) -> Loss:
    """The loss of all items together."""
    return Loss(
        torch.stack([loss.total for loss in losses]).sum(),
        torch.stack([loss.items for loss in losses]).sum(),
    )


@dataclass(frozen=True)
class StepContext:
    """How a learner is called: as it is, or wrapped for mixed precision and several processes.

    `call` gives what `Learner.forward` gives. `backward` takes a scalar; `alone` is a context in
    which gradients stay with this process, number `rank` of `processes`.
    """

    call: Callable[..., Any]
    backward: Callable[[Tensor], None]
    alone: Callable[[], Any] = nullcontext
    rank: int = 0
    processes: int = 1


class TrainingModule(nn.Module, ABC):
    """A model in training.

    model  what is trained and saved, with the module names that the base's library gives it
    """

    model: nn.Module

    @abstractmethod
    def batch(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Rows of the table as what `forward` takes; called in worker processes, on the CPU."""

    @abstractmethod
    def forward(self, **batch: Any) -> Any:
        """The Loss of a batch (or what the learner's own `loss` and `backward` make one of)."""

    def loss(self, run: StepContext, batches: Sequence[Mapping[str, Any]]) -> Loss:
        """The loss of a step's batches, for validation: no gradients."""
        return summed([run.call(**batch) for batch in batches])

    def backward(self, run: StepContext, batches: Sequence[Mapping[str, Any]]) -> Loss:
        """Add the gradients of the sum of the losses; the Loss is detached."""
        found = []
        for number, batch in enumerate(batches):
            with nullcontext() if number == len(batches) - 1 else run.alone():
                loss = run.call(**batch)
                run.backward(loss.total)
            found.append(Loss(loss.total.detach(), loss.items))
        return summed(found)

    def train(self, mode: bool = True) -> Self:
        """As ever, but statistics of batches are the base's and stay so: no adapter has them."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def drawn(
        self, batches: Sequence[Mapping[str, Any]], rank: int, processes: int
    ) -> list[Mapping[str, Any]]:
        """The batches of this process with what is random of each example: noise.

        All processes have as many examples, in order of their ranks.
        """
        return list(batches)

    def begin(self, stage: str) -> None:
        """Called before each stage of the recipe (see TrainRecipe.stages)."""

    def prepared(
        self, rows: datasets.Dataset, place: Path, device: torch.device
    ) -> datasets.Dataset:
        """The table that is trained on; `place` is a folder that outlives a kill.

        The learner is on `device`.
        """
        return rows

    def stepped(self) -> None:
        """Called after each step of the optimiser."""

    def follows(self) -> dict[str, Any]:
        """Settings that follow from the base where a recipe leaves them out, for the card."""
        return {}

    def publish(self) -> None:
        """Called once, before the weights are written."""

    def save_memory(self) -> None:
        """Compute activations again in the backward pass, where the library can."""
        compute_again(self.model)


def compute_again(model: Any) -> None:
    """Have a model of transformers compute its activations again in the backward pass."""
    # Older versions know the second name alone.
    enable = getattr(model, "activation_checkpointing_enable", None)
    (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})


ModuleTree = Mapping[str, nn.Module]
"""The modules of a model on the meta device by path, the model itself as the empty path."""


@dataclass(frozen=True)
class TrainingBackend:
    """How models of a family are trained.

    recipe     the keys
    learns     whether the module or parameter at a path is of the part that is trained
    targets    the modules that get factors where the recipe names none
    open       the base as a learner, its weights in `dtype`; raises NotLoaded
    unused     why a row is no example, None if it is one
    trace      run the model of the tree forward for n examples, as in training, on fake tensors: what
               it keeps is what `--plan` says (see ggez_hub.training.plan)
    check      raise for a base, in its folder, that is not of this way, or that keys do not fit
    beside     bytes of what is on the device beside the model
    prepared   bytes of an example in the table that `Learner.prepared` makes
    apart      whether the examples of a batch are told apart: then no two are of one picture
    write      an adapter as the family's library loads it: model, folder, the base's repository
               and commit
    """

    recipe: type[TrainRecipe]
    learns: Callable[[Any, ModuleTree], Callable[[str], bool]]
    targets: Callable[[Any, ModuleTree], Collection[str]]
    open: Callable[[Path, Any, torch.dtype], TrainingModule]
    unused: Callable[[Any, Mapping[str, Any]], str | None]
    trace: Callable[[Any, ModuleTree, int], object]
    check: Callable[[Any, Path], None] = lambda recipe, folder: None
    beside: Callable[[Any, ModuleTree], int] = lambda recipe, tree: 0
    prepared: Callable[[Any, ModuleTree], int] = lambda recipe, tree: 0
    apart: bool = False
    write: Callable[[Any, Path, str, str | None], None] = write_adapter
