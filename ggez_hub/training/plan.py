"""What a run will cost, before anything of it begins; a base's configuration is enough."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ggez_hub.errors import GgezError
from ggez_hub.registry.pulling.machine import device_bytes, free_disk_bytes, memory_bytes
from ggez_hub.training import lora
from ggez_hub.training.examples import Examples, reasons
from ggez_hub.training.job import Job
from ggez_hub.training.memory import FLOAT32, MOMENTS, Memory, memory_of, skeleton_in_training
from ggez_hub.training.order import Order
from ggez_hub.training.recipe import Stage
from ggez_hub.training.tables import is_held_out

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
    order = Order(count - held_out, recipe.batch_size, recipe.seed)
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
