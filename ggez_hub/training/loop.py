"""The steps of a run, on accelerate: one CPU, one GPU, or `accelerate launch` over several.

A loop of our own on accelerate, not transformers' Trainer: one loop for models of transformers,
diffusers and open_clip, with losses over a whole batch (contrastive, by cached gradients) and sums
that are divided once for each step; and every step is a function of its number, so that a state is
weights and moments and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ggez_hub.errors import GgezError
from ggez_hub.training import checkpoint
from ggez_hub.training.checkpoint import Progress
from ggez_hub.training.learner import Learner, Run
from ggez_hub.training.order import Order
from ggez_hub.training.recipe import Optimiser, TrainRecipe

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped]

STATE, BEST = "state.safetensors", "best.safetensors"
# Parts of the key of a generator: what is random in a step, and what in a validation.
STEP, VALIDATION = 0, 1


class Diverged(GgezError):
    """The loss is no number any more."""


class NotSupported(GgezError):
    """accelerate is configured for something that this loop does not do."""


Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Settings:
    """What the loop needs of a recipe, for one stage: `seed` and `steps` are the stage's own."""

    recipe: TrainRecipe
    optimiser: Optimiser
    seed: int
    steps: int


@dataclass(frozen=True)
class Report:
    """After a step: how many are done, and the loss of this one (the mean over its items).

    `validation` is the mean loss of the held-out rows, if they were asked after this step.
    """

    step: int
    steps: int
    loss: float
    rate: float
    validation: float | None = None


def accelerator_of(recipe: TrainRecipe) -> Accelerator:
    """The accelerator of this process; raises NotSupported for sharded models."""
    from accelerate import Accelerator, DistributedType
    from accelerate.state import AcceleratorState  # type: ignore[import-untyped]

    # It is one for the process, and would have the precision of an earlier run.
    AcceleratorState._reset_state()
    found = Accelerator(mixed_precision="bf16" if recipe.precision == "bf16" else "no")
    if found.distributed_type not in (
        DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU,
    ):  # fmt: skip
        raise NotSupported(
            f"accelerate is configured for {found.distributed_type}, which is not supported",
            "Run it on one device, or with data-parallel processes.",
        )
    if recipe.batch_size % found.num_processes:
        raise NotSupported(
            f"batch_size {recipe.batch_size} cannot be shared by {found.num_processes} processes"
        )
    return found


def fit(
    learner: Learner,
    rows: Rows,
    held_out: Rows | None,
    order: Order,
    settings: Settings,
    accelerator: Accelerator,
    place: Path,
    did: Callable[[Report], None] = lambda report: None,
) -> Progress:
    """Train in place, from the state in the folder `place` on if there is one.

    Raises Diverged.
    """
    recipe, steps = settings.recipe, settings.steps
    optimiser = adamw(learner, settings.optimiser)
    learner.to(accelerator.device)
    progress = Progress()
    if (place / STATE).is_file():
        progress = checkpoint.load(place / STATE, learner, optimiser)
    wrapped = accelerator.prepare_model(learner)
    run = Run(
        wrapped,
        accelerator.backward,
        lambda: accelerator.no_sync(wrapped),
        accelerator.process_index,
        accelerator.num_processes,
    )
    alone = Run(learner, accelerator.backward)
    parameters = [p for p in learner.parameters() if p.requires_grad]
    learner.train()
    for step, batches in _batches(learner, rows, order, progress, settings, accelerator):
        _seed(settings.seed, STEP, step, accelerator.process_index)
        rate = learning_rate(settings.optimiser, step, steps)
        for group in optimiser.param_groups:
            group["lr"] = rate
        found = learner.backward(run, [_moved(batch, accelerator.device) for batch in batches])
        total, items = accelerator.reduce(
            torch.stack([found.total.double(), found.items.double()]).to(accelerator.device)
        ).tolist()
        _divide(parameters, items, accelerator.num_processes)
        loss = total / items
        if not np.isfinite(loss):
            raise Diverged(
                f"the loss is {loss} in step {step + 1}",
                "Try a lower optimiser.learning_rate. The last state is kept.",
            )
        if settings.optimiser.max_grad_norm != "none":
            torch.nn.utils.clip_grad_norm_(parameters, settings.optimiser.max_grad_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        learner.stepped()
        progress.step = step + 1
        progress.since = [progress.since[0] + loss, progress.since[1] + 1]
        last = step + 1 == steps
        if held_out is not None and (last or (step + 1) % recipe.validate_every == 0):
            _validate(learner, alone, held_out, settings, accelerator, progress, place)
        asked = progress.validations and progress.validations[-1][0] == step + 1
        validation = progress.validations[-1][1] if asked else None
        did(Report(step + 1, steps, loss, rate, validation))
        stop = _stopped(recipe, progress)
        if last or stop or (step + 1) % recipe.checkpoint_every == 0:
            progress.losses.append([step + 1, progress.since[0] / progress.since[1]])
            progress.since = [0.0, 0.0]
            if accelerator.is_main_process:
                checkpoint.save(place / STATE, learner, optimiser, progress)
        if stop:
            break
    accelerator.unwrap_model(wrapped, keep_fp32_wrapper=False)
    accelerator.free_memory()
    if recipe.early_stop is not None:
        accelerator.wait_for_everyone()
        checkpoint.load(place / BEST, learner, None)
    learner.eval()
    return progress


def _stopped(recipe: TrainRecipe, progress: Progress) -> bool:
    """Whether validations have been no better for too long."""
    return recipe.early_stop is not None and progress.worse >= recipe.early_stop.patience


def adamw(learner: Learner, asked: Optimiser) -> torch.optim.AdamW:
    """AdamW over what learns; gains and biases are not decayed."""
    learning = [p for p in learner.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learning if p.ndim >= 2], "weight_decay": asked.weight_decay},
        {"params": [p for p in learning if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=asked.learning_rate,
        betas=asked.betas,
        eps=asked.epsilon,
    )


def learning_rate(asked: Optimiser, step: int, steps: int) -> float:
    """Linear up over the share `warmup` of the steps, then linear down to zero after the last."""
    warm = round(asked.warmup * steps)
    if step < warm:
        return asked.learning_rate * (step + 1) / warm
    return asked.learning_rate * (steps - step) / (steps - warm)


def _validate(
    learner: Learner,
    run: Run,
    held_out: Rows,
    settings: Settings,
    accelerator: Accelerator,
    progress: Progress,
    place: Path,
) -> None:
    """The mean loss of the held-out rows; every process computes it, so that all stop together."""
    recipe = settings.recipe
    learner.eval()
    total = items = 0.0
    size = recipe.batch_size
    with torch.no_grad():
        for start in range(0, len(held_out), size):
            _seed(settings.seed, VALIDATION, start, 0)
            chosen = [held_out[n] for n in range(start, min(start + size, len(held_out)))]
            batches = [learner.batch(rows) for rows in _cut(chosen, recipe.micro_batch)]
            found = learner.loss(run, [_moved(batch, accelerator.device) for batch in batches])
            total, items = total + float(found.total), items + float(found.items)
    learner.train()
    loss = total / items
    progress.validations.append([progress.step, loss])
    if progress.best is None or loss < progress.best:
        progress.best, progress.best_step, progress.worse = loss, progress.step, 0
        if recipe.early_stop is not None and accelerator.is_main_process:
            checkpoint.save(place / BEST, learner, None, progress)
    else:
        progress.worse += 1


def _batches(
    learner: Learner,
    rows: Rows,
    order: Order,
    progress: Progress,
    settings: Settings,
    accelerator: Accelerator,
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The steps that are left, each with this process's part of the batch in micro-batches."""
    if _stopped(settings.recipe, progress):
        return
    left = range(progress.step, settings.steps)
    workers = settings.recipe.workers
    loader = torch.utils.data.DataLoader(
        _Steps(learner, rows, order, settings.recipe.micro_batch, accelerator),
        batch_size=None,
        sampler=left,
        num_workers=workers,
        # The model is shared with the workers, not sent to them.
        multiprocessing_context="fork" if workers else None,
    )
    yield from zip(left, loader, strict=True)


class _Steps(torch.utils.data.Dataset[list[dict[str, Any]]]):
    """By the number of a step this process's part of its batch, in micro-batches."""

    def __init__(
        self, learner: Learner, rows: Rows, order: Order, micro: int, accelerator: Accelerator
    ) -> None:
        self._learner, self._rows, self._order, self._micro = learner, rows, order, micro
        self._rank, self._processes = accelerator.process_index, accelerator.num_processes

    def __getitem__(self, step: int) -> list[dict[str, Any]]:
        batch = self._order.of(step)
        own = len(batch) // self._processes
        mine = batch[self._rank * own : (self._rank + 1) * own]
        return [
            self._learner.batch([self._rows[n] for n in part]) for part in _cut(mine, self._micro)
        ]


def _cut(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _divide(parameters: Sequence[torch.nn.Parameter], items: float, processes: int) -> None:
    """From sums of gradients to their mean; several processes have averaged theirs already."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.mul_(processes / items)


def _seed(*key: int) -> None:
    """Seed torch's generators for what the key names."""
    (seed,) = np.random.SeedSequence(key).generate_state(1, np.uint64)
    torch.manual_seed(int(seed) >> 1)


def _moved(batch: Any, device: torch.device) -> Any:
    from accelerate.utils import send_to_device  # type: ignore[import-untyped]

    return send_to_device(batch, device)
