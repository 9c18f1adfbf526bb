"""What `train` says of its costs: all of it with `--plan`, and before a run begins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ggez_hub.cli.output import Output

if TYPE_CHECKING:
    from ggez_hub.training.plan import Plan, StagePlan
    from ggez_hub.training.recipe import TrainRecipe
    from ggez_hub.training.run import Start


def tell_plan(recipe: TrainRecipe, plan: Plan, out: Output) -> None:
    """Print what a run will cost."""
    for line in _work(recipe, plan):
        out.line(line)
    out.table(("device memory", "GB"), _memory(plan))
    out.line(
        "Activations are counted in a forward pass without data; what kernels use in passing is not "
        "in it: leave a fifth more."
    )
    for line in _room(plan):
        out.line(line)
    out.document(plan.as_dict())


def tell_start(recipe: TrainRecipe, start: Start, out: Output) -> None:
    """The same on stderr before a run begins, and what is left of an earlier one."""
    memory = ", ".join(f"{name} {count}" for name, count in _memory(start.plan))
    said = f"device memory in GB: {memory}"
    for line in (*_work(recipe, start.plan), said, *_room(start.plan)):
        out.note(line)
    if start.kept is not None:
        stage, step = start.kept
        out.note(f"going on after step {step:,} of {stage}")
    elif start.stale:
        out.note("starting anew: the state that is kept is of another recipe, or of other data")


def _work(recipe: TrainRecipe, plan: Plan) -> Iterator[str]:
    from ggez_hub.regions import find_region, spelled_out

    yield spelled_out(find_region(recipe.region))
    share = plan.trained_parameters / (plan.parameters + _added(plan))
    where = f" on {plan.modules:,} modules" if plan.modules else ""
    yield f"{plan.base}: {plan.family}, method {plan.method}"
    yield (
        f"trained: {plan.trained_parameters:,} parameters{where}, {share:.2%} of "
        f"{plan.parameters + _added(plan):,}"
    )
    for stage in plan.stages:
        yield f"{stage.name}: {_stage(stage, plan)}"


def _memory(plan: Plan) -> list[tuple[str, str]]:
    memory = plan.memory
    return [
        ("weights", _gb(memory.weights)),
        ("gradients", _gb(memory.gradients)),
        ("optimiser (AdamW's moments)", _gb(memory.optimiser)),
        (f"activations of {plan.micro_batch} at once", _gb(memory.activations)),
        ("together", _gb(memory.total)),
    ]


def _room(plan: Plan) -> Iterator[str]:
    if plan.device_bytes:
        yield f"device: {plan.device_bytes / 1e9:.1f} GB"
    else:
        yield "device: none is seen here, so that this machine's own memory is compared"
    yield f"disk: {_gb(plan.disk_bytes)} GB of {_gb(plan.free_bytes)} GB free"
    yield f"fits: {'unknown' if plan.fits is None else 'yes' if plan.fits else 'no'}"
    if not plan.fits:
        yield (
            "Less at once: a smaller micro_batch (the result is the same), gradient_checkpointing: "
            "true, precision: bf16, method: lora."
        )


def _added(plan: Plan) -> int:
    """Parameters that are none of the base's."""
    return plan.trained_parameters if plan.modules else 0


def _stage(stage: StagePlan, plan: Plan) -> str:
    if stage.examples is None:
        return f"steps {stage.steps or 'unknown'}: {stage.problem}"
    examples = f"{stage.examples:,} examples"
    if stage.rows != stage.examples:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in stage.unused.items())
        examples += f" of {stage.rows:,} rows (not used: {reasons})"
    if stage.held_out:
        examples += f", {stage.held_out:,} of them held out"
    if stage.steps is None:
        return f"{examples}: {stage.problem}"
    return f"{examples}, {stage.steps:,} steps of {plan.batch_size}"


def _gb(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 1e9:.2f}"
