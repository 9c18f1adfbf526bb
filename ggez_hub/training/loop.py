"""The steps of a run, on accelerate: one CPU, one GPU, or `accelerate launch` over several.

A loop of our own on accelerate, not transformers' Trainer: one loop for models of transformers,
diffusers and open_clip, with losses over a whole batch (contrastive, by cached gradients) and sums
that are divided once for each step; and every step is a function of its number, so that a state is
weights and moments and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ggez_hub.errors import GgezError
from ggez_hub.training import checkpoint
from ggez_hub.training.backend import StepContext, TrainingModule
from ggez_hub.training.batches import BatchOrder, Rows, batches_of_steps, micro_batches, to_device
from ggez_hub.training.checkpoint import Progress
from ggez_hub.training.interruption import Interrupted
from ggez_hub.training.recipe import Optimiser, TrainRecipe

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped]


def adamw(learner: TrainingModule, asked: Optimiser) -> torch.optim.AdamW:
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


STATE, BEST = "state.safetensors", "best.safetensors"
# Parts of the key of a generator: what is random in a step, and what in a validation.
STEP, VALIDATION = 0, 1


class Diverged(GgezError):
    """The loss is no number any more."""


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


def fit(
    learner: TrainingModule,
    rows: Rows,
    held_out: Rows | None,
    order: BatchOrder,
    settings: Settings,
    accelerator: Accelerator,
    place: Path,
    did: Callable[[Report], None],
    asked: Callable[[], bool],
) -> Progress:
    """Train in place, from the state in the folder `place` on if there is one.

    Raises Diverged; Interrupted if it is `asked` to stop, when the step is done and its state kept.
    """
    recipe, steps = settings.recipe, settings.steps
    optimiser = adamw(learner, settings.optimiser)
    learner.to(accelerator.device)
    progress = Progress()
    if (place / STATE).is_file():
        progress = checkpoint.load(place / STATE, learner, optimiser)
    wrapped = accelerator.prepare_model(learner)
    run = StepContext(
        wrapped,
        accelerator.backward,
        lambda: accelerator.no_sync(wrapped),
        accelerator.process_index,
        accelerator.num_processes,
    )
    alone = StepContext(learner, accelerator.backward)
    parameters = [p for p in learner.parameters() if p.requires_grad]
    learner.train()
    left = range(steps if _stopped(recipe, progress) else progress.step, steps)
    for step, batches in batches_of_steps(
        learner,
        rows,
        order,
        left,
        micro=recipe.micro_batch,
        workers=recipe.workers,
        accelerator=accelerator,
    ):
        rate = learning_rate(settings.optimiser, step, steps)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss, leave = _gradients(
            learner, run, batches, (settings.seed, STEP, step), accelerator, asked
        )
        most = settings.optimiser.max_grad_norm
        norm = float(
            torch.nn.utils.clip_grad_norm_(parameters, math.inf if most == "none" else most)
        )
        for value, name in ((loss, "loss"), (norm, "norm of the gradient")):
            if not math.isfinite(value):
                raise Diverged(
                    f"the {name} is {value} in step {step + 1}",
                    "Try a lower optimiser.learning_rate, or a warmup.",
                )
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        learner.stepped()
        progress.step = step + 1
        progress.since = [progress.since[0] + loss, progress.since[1] + 1]
        last = step + 1 == steps
        if held_out is not None and (last or (step + 1) % recipe.validate_every == 0):
            _validate(learner, alone, held_out, settings, accelerator, progress, place)
        validated = progress.validations and progress.validations[-1][0] == step + 1
        validation = progress.validations[-1][1] if validated else None
        did(Report(step + 1, steps, loss, rate, validation))
        stop = _stopped(recipe, progress)
        due = last or stop or (step + 1) % recipe.checkpoint_every == 0
        if due:
            progress.losses.append([step + 1, progress.since[0] / progress.since[1]])
            progress.since = [0.0, 0.0]
        if (due or leave) and accelerator.is_main_process:
            checkpoint.save(place / STATE, learner, optimiser, progress)
        if leave and not (last or stop):
            raise Interrupted(
                f"stopped after step {step + 1} of {steps}",
                "Its state is kept: the same command goes on from there.",
            )
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


def _validate(
    learner: TrainingModule,
    run: StepContext,
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
            rows = [held_out[n] for n in range(start, min(start + size, len(held_out)))]
            batches = micro_batches(learner, rows, recipe.micro_batch)
            drawn = learner.drawn(to_device(batches, accelerator.device), 0, 1)
            found = learner.loss(run, drawn)
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


def _gradients(
    learner: TrainingModule,
    run: StepContext,
    batches: Sequence[Mapping[str, Any]],
    key: tuple[int, ...],
    accelerator: Accelerator,
    asked: Callable[[], bool],
) -> tuple[float, bool]:
    """Leave the gradients of the mean loss of all processes' batches.

    Returns the loss, and whether any process was asked to stop: all have to leave together.
    """
    _seed(*key, 0)
    drawn = learner.drawn(batches, run.rank, run.processes)
    if run.rank:
        _seed(*key, run.rank)
    found = learner.backward(run, drawn)
    own = [found.total.double(), found.items.double()]
    own.append(torch.tensor(float(asked()), dtype=torch.float64, device=own[0].device))
    total, items, leave = accelerator.reduce(torch.stack(own).to(accelerator.device)).tolist()
    for parameter in learner.parameters():
        if parameter.grad is not None:
            # They are sums, of which several processes have taken the mean already.
            parameter.grad.mul_(run.processes / items)
    return float(total / items), leave > 0


def _seed(*key: int) -> None:
    """Seed torch's generators for what the key names."""
    (seed,) = np.random.SeedSequence(key).generate_state(1, np.uint64)
    torch.manual_seed(int(seed) >> 1)


class NotSupported(GgezError):
    """accelerate is configured for something that this loop does not do."""


def accelerator_of(recipe: TrainRecipe) -> Accelerator:
    """The accelerator of this process; raises NotSupported for sharded models."""
    from accelerate import Accelerator, DistributedType
    from accelerate.state import AcceleratorState  # type: ignore[import-untyped]
    from accelerate.utils import parse_flag_from_env  # type: ignore[import-untyped]

    # On a CPU accelerate passes over what it was asked for; elsewhere it needs the library first.
    for flag, name in SHARDED.items():
        if parse_flag_from_env(flag):
            raise _not_supported(name)
    # It is one for the process, and would have the precision of an earlier run.
    AcceleratorState._reset_state()
    found = Accelerator(mixed_precision="bf16" if recipe.precision == "bf16" else "no")
    if found.distributed_type not in (
        DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU,
    ):  # fmt: skip
        raise _not_supported(str(found.distributed_type))
    if recipe.batch_size % found.num_processes:
        raise NotSupported(
            f"batch_size {recipe.batch_size} cannot be shared by {found.num_processes} processes",
            "Take a multiple of the number of processes.",
        )
    return found


# What `accelerate launch` sets for each way to shard a model.
SHARDED = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
}


def _not_supported(name: str) -> NotSupported:
    return NotSupported(
        f"accelerate is configured for {name}: a state of a run is written and read whole by one "
        "process, and would be a part of the weights there",
        "Run it on one device, or data-parallel: `accelerate launch --multi_gpu`, or `--cpu`.",
    )
