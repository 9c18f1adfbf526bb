"""What `train --plan` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ggez_hub.cli.output import Output

if TYPE_CHECKING:
    from ggez_hub.training.plan import Plan, StagePlan


def tell_plan(plan: Plan, out: Output) -> None:
    """Print what a run will cost."""
    share = plan.trained_parameters / (plan.parameters + _added(plan))
    where = f" on {plan.modules:,} modules" if plan.modules else ""
    out.line(f"{plan.base}: {plan.family}, method {plan.method}")
    out.line(
        f"trained: {plan.trained_parameters:,} parameters{where}, {share:.2%} of "
        f"{plan.parameters + _added(plan):,}"
    )
    for stage in plan.stages:
        out.line(f"{stage.name}: {_stage(stage, plan)}")
    memory = plan.memory
    rows = [
        ("weights", _gb(memory.weights)),
        ("gradients", _gb(memory.gradients)),
        ("optimiser (AdamW's moments)", _gb(memory.optimiser)),
        (f"activations of {plan.micro_batch} at once", _gb(memory.activations)),
        ("together", _gb(memory.total)),
    ]
    out.table(("device memory", "GB"), rows)
    out.line(
        "Activations are counted in a forward pass without data; what kernels use in passing is not "
        "in it: leave a fifth more."
    )
    if plan.device_bytes:
        out.line(f"device: {plan.device_bytes / 1e9:.1f} GB")
    else:
        out.line("device: none is seen here, so that this machine's own memory is compared")
    out.line(f"disk: {_gb(plan.disk_bytes)} GB of {_gb(plan.free_bytes)} GB free")
    out.line(f"fits: {'unknown' if plan.fits is None else 'yes' if plan.fits else 'no'}")
    out.document(plan.as_dict())


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
    if stage.steps is None:
        return f"{examples}: {stage.problem}"
    return f"{examples}, {stage.steps:,} steps of {plan.batch_size}"


def _gb(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 1e9:.2f}"
