"""The steps of a stage, on accelerate: one CPU, one GPU, or `accelerate launch` over several.

A loop of our own, not transformers' Trainer: it serves models of transformers, diffusers and
open_clip, with losses over a full batch (contrastive, by cached gradients) and sums that are divided
once for each step. A step is a function of its number, so that weights and moments are all its state.
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
from ggez_hub.training.batches import BatchOrder, Rows, StepBatches, micro_batches, to_device
from ggez_hub.training.checkpoint import Interrupted, Progress
from ggez_hub.training.recipe import Optimiser, TrainRecipe

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped]

STATE, BEST = "state.safetensors", "best.safetensors"
# How often a stage records its mean loss, whatever its length and its checkpoints.
RECORDED_LOSSES = 20
# Parts of the key of a generator: what is random in a step, and what in a validation.
STEP, VALIDATION = 0, 1
# What `accelerate launch` sets for each way to shard a model.
SHARDED = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
}


@dataclass(frozen=True)
class StepReport:
    """After a step: the number of steps done and planned, its mean loss and its learning rate.

    `validation` is the mean loss of the held-out rows, if it was computed after this step.
    """

    step: int
    steps: int
    loss: float
    rate: float
    validation: float | None = None


@dataclass(frozen=True)
class StageLoop:
    """The training of one stage; its state is kept in `folder`.

    on_step         is given a report after each step
    stop_requested  whether the run is to stop after this step
    """

    recipe: TrainRecipe
    optimiser: Optimiser
    seed: int
    steps: int
    module: TrainingModule
    rows: Rows
    held_out: Rows | None
    order: BatchOrder
    accelerator: Accelerator
    folder: Path
    on_step: Callable[[StepReport], None]
    stop_requested: Callable[[], bool]

    def run(self) -> Progress:
        """Train the module in place, from the kept state on if there is one.

        Raises: GgezError: the loss or its gradient is not finite. Interrupted: a stop was requested;
        the step is done and its state is kept.
        """
        recipe, module, accelerator = self.recipe, self.module, self.accelerator
        optimiser = adamw(module, self.optimiser)
        module.to(accelerator.device)
        progress = Progress()
        if (self.folder / STATE).is_file():
            progress = checkpoint.load(self.folder / STATE, module, optimiser)
        wrapped = accelerator.prepare_model(module)
        rank, processes = accelerator.process_index, accelerator.num_processes
        context = StepContext(
            wrapped, accelerator.backward, lambda: accelerator.no_sync(wrapped), rank, processes
        )
        module.train()
        batches_of = StepBatches(module, self.rows, self.order, recipe.micro_batch, rank, processes)
        first = self.steps if self._stops_early(progress) else progress.step
        for step, batches in batches_of.load(range(first, self.steps), recipe.workers):
            rate = learning_rate(self.optimiser, step, self.steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss, leave = self._backward(context, to_device(batches, accelerator.device), step)
            self._clip(loss, step)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            module.after_step()
            progress.add_step(loss)
            last = progress.step == self.steps
            validation = None
            if self.held_out is not None and (last or progress.step % recipe.validate_every == 0):
                validation = self._validate(self.held_out, progress)
            self.on_step(StepReport(progress.step, self.steps, loss, rate, validation))
            done = last or self._stops_early(progress)
            due = done or progress.step % recipe.checkpoint_every == 0
            if done or progress.step % math.ceil(self.steps / RECORDED_LOSSES) == 0:
                progress.record_loss()
            if (due or leave) and accelerator.is_main_process:
                checkpoint.save(self.folder / STATE, module, optimiser, progress)
            if done:
                break
            if leave:
                raise Interrupted(
                    f"stopped after step {progress.step} of {self.steps}",
                    "Its state is kept: the same command goes on from there.",
                )
        accelerator.unwrap_model(wrapped, keep_fp32_wrapper=False)
        accelerator.free_memory()
        if recipe.early_stop is not None:
            accelerator.wait_for_everyone()
            checkpoint.load(self.folder / BEST, module, None)
        module.eval()
        return progress

    def _stops_early(self, progress: Progress) -> bool:
        stop = self.recipe.early_stop
        return stop is not None and progress.worse >= stop.patience

    def _backward(
        self, context: StepContext, batches: Sequence[Mapping[str, Any]], step: int
    ) -> tuple[float, bool]:
        """Leave the gradients of the mean loss of all processes' batches in the parameters.

        Returns the loss, and whether any process is to stop: all have to leave together.
        """
        key = (self.seed, STEP, step)
        _seed(*key, 0)
        drawn = self.module.draw(batches, context.rank, context.processes)
        if context.rank:
            _seed(*key, context.rank)
        found = self.module.backward(context, drawn)
        own = [found.total.double(), found.items.double()]
        stop = float(self.stop_requested())
        own.append(torch.tensor(stop, dtype=torch.float64, device=own[0].device))
        total, items, leave = self.accelerator.reduce(
            torch.stack(own).to(self.accelerator.device)
        ).tolist()
        for parameter in self.module.parameters():
            if parameter.grad is not None:
                # They are sums, of which several processes have taken the mean already.
                parameter.grad.mul_(context.processes / items)
        return total / items, leave > 0

    def _clip(self, loss: float, step: int) -> None:
        """Limit the norm of the gradient; raises GgezError if it or the loss is not finite."""
        most = self.optimiser.max_grad_norm
        norm = torch.nn.utils.clip_grad_norm_(
            [p for p in self.module.parameters() if p.requires_grad],
            math.inf if most == "none" else most,
        )
        for value, name in ((loss, "loss"), (float(norm), "norm of the gradient")):
            if not math.isfinite(value):
                raise GgezError(
                    f"the {name} is {value} in step {step + 1}",
                    "Try a lower optimiser.learning_rate, or a warmup.",
                )

    def _validate(self, held_out: Rows, progress: Progress) -> float:
        """The mean loss of the held-out rows; every process computes it, so that all stop together."""
        module, recipe, accelerator = self.module, self.recipe, self.accelerator
        context = StepContext(module, accelerator.backward)
        module.eval()
        total = items = 0.0
        with torch.no_grad():
            for start in range(0, len(held_out), recipe.batch_size):
                _seed(self.seed, VALIDATION, start, 0)
                stop = min(start + recipe.batch_size, len(held_out))
                rows = [held_out[n] for n in range(start, stop)]
                batches = micro_batches(module, rows, recipe.micro_batch)
                found = module.loss(
                    context, module.draw(to_device(batches, accelerator.device), 0, 1)
                )
                total, items = total + float(found.total), items + float(found.items)
        module.train()
        loss = total / items
        best = progress.record_validation(loss)
        if best and recipe.early_stop is not None and accelerator.is_main_process:
            checkpoint.save(self.folder / BEST, module, None, progress)
        return loss


def adamw(module: TrainingModule, settings: Optimiser) -> torch.optim.AdamW:
    """AdamW over what learns; gains and biases are not decayed."""
    learning = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learning if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in learning if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
    )


def learning_rate(settings: Optimiser, step: int, steps: int) -> float:
    """Linear up over the share `warmup` of the steps, then linear down to zero after the last."""
    warm = round(settings.warmup * steps)
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    return settings.learning_rate * (steps - step) / (steps - warm)


def new_accelerator(recipe: TrainRecipe) -> Accelerator:
    """The accelerator of this process; raises GgezError for sharded models."""
    from accelerate import Accelerator, DistributedType
    from accelerate.state import AcceleratorState  # type: ignore[import-untyped]
    from accelerate.utils import parse_flag_from_env  # type: ignore[import-untyped]

    # On a CPU accelerate ignores what it was asked for; elsewhere it needs the library first.
    sharded = [name for flag, name in SHARDED.items() if parse_flag_from_env(flag)]
    if not sharded:
        # It is one for the process, and would have the precision of an earlier run.
        AcceleratorState._reset_state()
        found = Accelerator(mixed_precision="bf16" if recipe.precision == "bf16" else "no")
        if found.distributed_type not in (
            DistributedType.NO,
            DistributedType.MULTI_GPU,
            DistributedType.MULTI_CPU,
        ):
            sharded = [str(found.distributed_type)]
    if sharded:
        raise GgezError(
            f"accelerate is configured for {sharded[0]}: one process writes and reads the state of a "
            "run, and would hold a part of the weights",
            "Run it on one device, or data-parallel: `accelerate launch --multi_gpu`, or `--cpu`.",
        )
    if recipe.batch_size % found.num_processes:
        raise GgezError(
            f"batch_size {recipe.batch_size} cannot be shared by {found.num_processes} processes",
            "Take a multiple of the number of processes.",
        )
    return found


def _seed(*key: int) -> None:
    """Seed torch's generators for what the key names."""
    (seed,) = np.random.SeedSequence(key).generate_state(1, np.uint64)
    torch.manual_seed(int(seed) >> 1)
