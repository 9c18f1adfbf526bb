"""The steps of a stage, on accelerate: one CPU, one GPU, or `accelerate launch` over several,
with a copy of the model each or sharded.

A loop of our own, not transformers' Trainer: it serves models of transformers, diffusers and
open_clip, with losses over a full batch (contrastive, by cached gradients) and sums that are divided
once for each step. A step is a function of its number, so that weights and moments are all its state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from ggez_hub.errors import GgezError
from ggez_hub.training import checkpoint
from ggez_hub.training.backend import StepContext, TrainingModule
from ggez_hub.training.batches import BatchOrder, Rows, StepBatches, micro_batches, to_device
from ggez_hub.training.checkpoint import Interrupted, Progress
from ggez_hub.training.recipe import Optimiser, TrainRecipe
from ggez_hub.training.sharding import complete_tensor, is_sharded

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped]

STATE, BEST = "state.safetensors", "best.safetensors"
# How often a stage records its mean loss, whatever its length and its checkpoints.
RECORDED_LOSSES = 20
# Parts of the key of a generator: what is random in a step, and what in a validation.
STEP, VALIDATION = 0, 1
# What `accelerate launch` sets for each way to shard a model that is not offered.
OTHER_SHARDING = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
}
# One process of a machine after the other loads the model.
PATIENCE = timedelta(hours=2)


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
        if not any(map(is_sharded, module.parameters())):
            module.to(accelerator.device)
        optimiser = adamw(module, self.optimiser)
        progress = Progress()
        if (self.folder / STATE).is_file():
            progress = checkpoint.load(self.folder / STATE, module, optimiser)
        context = self._context()
        rank, processes = context.rank, context.processes
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
            if due or leave:
                writes = accelerator.is_main_process
                checkpoint.save(self.folder / STATE, module, optimiser, progress, writes=writes)
            if done:
                break
            if leave:
                raise Interrupted(
                    f"stopped after step {progress.step} of {self.steps}",
                    "Its state is kept: the same command goes on from there.",
                )
        if isinstance(context.call, torch.nn.Module):
            accelerator.unwrap_model(context.call, keep_fp32_wrapper=False)
        accelerator.free_memory()
        if recipe.early_stop is not None:
            accelerator.wait_for_everyone()
            checkpoint.load(self.folder / BEST, module, None)
        module.eval()
        return progress

    def _context(self, *, alone: bool = False) -> StepContext:
        """How a step computes: with a copy of the model in each process, or a part of it.

        `alone`: each process computes the same, without the others where it has a copy.
        """
        module, accelerator = self.module, self.accelerator
        own = (0, 1) if alone else (accelerator.process_index, accelerator.num_processes)
        if not any(map(is_sharded, module.parameters())):
            if alone:
                return StepContext(module, accelerator.backward)
            wrapped = accelerator.prepare_model(module)
            return StepContext(
                wrapped, accelerator.backward, lambda: accelerator.no_sync(wrapped), *own
            )

        def call(**batch: Any) -> Any:
            with accelerator.autocast():
                return module(**batch)

        # Gradients are reduced after each micro-batch: kept, they would be those of all weights.
        return StepContext(call, accelerator.backward, nullcontext, *own)

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
        sharded = any(map(is_sharded, self.module.parameters()))
        for parameter in self.module.parameters():
            if parameter.grad is not None:
                if sharded and not is_sharded(parameter):
                    parameter.grad = self.accelerator.reduce(parameter.grad, reduction="mean")
                # They are sums, of which several processes have taken the mean already.
                parameter.grad.mul_(context.processes / items)
        return total / items, leave > 0

    def _clip(self, loss: float, step: int) -> None:
        """Limit the norm of the gradient; raises GgezError if it or the loss is not finite."""
        most = self.optimiser.max_grad_norm
        learning = [p for p in self.module.parameters() if p.grad is not None]
        # Parts and complete tensors are not added up together.
        alike = [[p for p in learning if is_sharded(p) is sharded] for sharded in (True, False)]
        norms = [get_total_norm([p.grad for p in group]) for group in alike if group]  # type: ignore[misc]
        complete = [complete_tensor(own) for own in norms]
        norm = complete[0] if len(complete) == 1 else get_total_norm(complete)
        for group in alike:
            clip_grads_with_norm_(group, math.inf if most == "none" else most, norm)
        for value, name in ((loss, "loss"), (float(norm), "norm of the gradient")):
            if not math.isfinite(value):
                raise GgezError(
                    f"the {name} is {value} in step {step + 1}",
                    "Try a lower optimiser.learning_rate, or a warmup.",
                )

    def _validate(self, held_out: Rows, progress: Progress) -> float:
        """The mean loss of the held-out rows; every process computes it, so that all stop together."""
        module, recipe, accelerator = self.module, self.recipe, self.accelerator
        context = self._context(alone=True)
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
        if best and recipe.early_stop is not None:
            writes = accelerator.is_main_process
            checkpoint.save(self.folder / BEST, module, None, progress, writes=writes)
        return loss


def adamw(module: TrainingModule, settings: Optimiser) -> torch.optim.AdamW:
    """AdamW over what learns; gains and biases are not decayed."""
    learning = [p for p in module.parameters() if p.requires_grad]
    # Scalars are by themselves: of a sharded model they are complete.
    groups = [
        {"params": [p for p in learning if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in learning if p.ndim == 1], "weight_decay": 0.0},
        {"params": [p for p in learning if p.ndim == 0], "weight_decay": 0.0},
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
    """The accelerator of this process; raises GgezError for ways to shard that are not offered."""
    from accelerate import Accelerator, DistributedType, InitProcessGroupKwargs
    from accelerate.state import AcceleratorState  # type: ignore[import-untyped]
    from accelerate.utils import parse_flag_from_env, patch_environment  # type: ignore[import-untyped]

    # On a CPU accelerate ignores what it was asked for; elsewhere it needs the library first.
    other = [name for flag, name in OTHER_SHARDING.items() if parse_flag_from_env(flag)]
    if not other:
        # It is one for the process, and would have the precision of an earlier run.
        AcceleratorState._reset_state()
        # The module is sharded by us, alike on every device.
        with patch_environment(ACCELERATE_USE_FSDP="false"):
            found = Accelerator(
                mixed_precision="bf16" if recipe.precision == "bf16" else "no",
                kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
            )
        if found.distributed_type not in (
            DistributedType.NO,
            DistributedType.MULTI_GPU,
            DistributedType.MULTI_CPU,
        ):
            other = [str(found.distributed_type)]
    if other:
        raise GgezError(
            f"accelerate is configured for {other[0]}, which is not offered",
            "Shard the model by FSDP: `accelerate launch --use_fsdp --fsdp_version 2`.",
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
