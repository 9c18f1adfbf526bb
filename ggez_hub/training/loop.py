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

from ggez_hub.errors import GgezError
from ggez_hub.training import checkpoint
from ggez_hub.training.backend import StepContext, TrainingModule
from ggez_hub.training.batches import BatchOrder, Rows, StepBatches, micro_batches, to_device
from ggez_hub.training.checkpoint import Interrupted, Progress
from ggez_hub.training.optimiser import AdamW, learning_rate
from ggez_hub.training.recipe import Optimiser, TrainRecipe
from ggez_hub.training.sharding import is_sharded
from ggez_hub.training.zero import ZeroSettings
from ggez_hub.training.zero_engine import ZeroEngine

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped]

STATE, BEST = "state.safetensors", "best.safetensors"
# How often a stage records its mean loss, whatever its length and its checkpoints.
RECORDED_LOSSES = 20
# Parts of the key of a generator: what is random in a step, and what in a validation.
STEP, VALIDATION = 0, 1
# What `accelerate launch` sets for each way to shard a model that is not offered.
OTHER_SHARDING = {
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
    zero            how DeepSpeed is configured, for a module that it has partitioned
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
    zero: ZeroSettings | None = None

    def run(self) -> Progress:
        """Train the module in place, from the kept state on if there is one.

        Raises: GgezError: the loss or its gradient is not finite. Interrupted: a stop was requested;
        the step is done and its state is kept.
        """
        recipe, module, accelerator = self.recipe, self.module, self.accelerator
        optimiser = self._optimiser()
        progress = Progress()
        if (self.folder / STATE).is_file():
            progress = checkpoint.load(self.folder / STATE, module, optimiser)
        context = self._context(optimiser)
        rank, processes = context.rank, context.processes
        module.train()
        batches_of = StepBatches(module, self.rows, self.order, recipe.micro_batch, rank, processes)
        first = self.steps if self._stops_early(progress) else progress.step
        for step, batches in batches_of.load(range(first, self.steps), recipe.workers):
            rate = learning_rate(self.optimiser, step, self.steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            total, items, leave = self._backward(
                context, to_device(batches, accelerator.device), step
            )
            loss, norm = total / items, optimiser.update(processes / items)
            _check_finite(step, {"loss": loss, "norm of the gradient": norm})
            module.after_step()
            progress.add_step(loss)
            last = progress.step == self.steps
            validation = None
            if self.held_out is not None and (last or progress.step % recipe.validate_every == 0):
                validation = self._validate(self.held_out, progress, optimiser)
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
        optimiser.close()
        module.eval()
        return progress

    def _optimiser(self) -> AdamW | ZeroEngine:
        if self.zero is None:
            return AdamW(self.module, self.optimiser, self.accelerator)
        return ZeroEngine(self.module, self.optimiser, self.zero, self.accelerator)

    def _context(self, optimiser: AdamW | ZeroEngine, *, alone: bool = False) -> StepContext:
        """How a step computes: with a copy of the model in each process, or a part of it.

        `alone`: each process computes the same, without the others where it has a copy.
        """
        module, accelerator = self.module, self.accelerator
        own = (0, 1) if alone else (accelerator.process_index, accelerator.num_processes)
        if isinstance(optimiser, ZeroEngine):
            return StepContext(optimiser.call, optimiser.backward, nullcontext, *own)
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
    ) -> tuple[float, float, bool]:
        """Leave the gradients of the sum of the losses, of which processes take the mean.

        Returns the sum of the losses and of their items over all processes, and whether any of them
        is to stop: all have to leave together.
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
        return total, items, leave > 0

    def _validate(self, held_out: Rows, progress: Progress, optimiser: AdamW | ZeroEngine) -> float:
        """The mean loss of the held-out rows; every process computes it, so that all stop together."""
        module, recipe, accelerator = self.module, self.recipe, self.accelerator
        context = self._context(optimiser, alone=True)
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
        with patch_environment(ACCELERATE_USE_FSDP="false", ACCELERATE_USE_DEEPSPEED="false"):
            found = Accelerator(
                # Where it finds no device, it would take each of several processes for the only one.
                cpu=not torch.accelerator.is_available(),
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


def _check_finite(step: int, values: Mapping[str, float]) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise GgezError(
                f"the {name} is {value} in step {step + 1}",
                "Try a lower optimiser.learning_rate, or a warmup.",
            )


def _seed(*key: int) -> None:
    """Seed torch's generators for what the key names."""
    (seed,) = np.random.SeedSequence(key).generate_state(1, np.uint64)
    torch.manual_seed(int(seed) >> 1)
