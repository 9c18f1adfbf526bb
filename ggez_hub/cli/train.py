"""`train`: from a training set to an adapter with its card."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.merge_inputs import repository_of
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import FILE, out_option
from ggez_hub.command_line import command_line
from ggez_hub.errors import UsageProblem
from ggez_hub.extras import require
from ggez_hub.hub_connection import connect
from ggez_hub.progress import show_progress, task
from ggez_hub.quantities import counted
from ggez_hub.regions import find_region, spelled_out

if TYPE_CHECKING:
    from ggez_hub.registry.local_merge.inputs import ModelSource
    from ggez_hub.training.loop import StepReport
    from ggez_hub.training.plan import Plan, StagePlan
    from ggez_hub.training.recipe import TrainRecipe
    from ggez_hub.training.run import RunStart, TrainedFolder


# The variable in which a launcher of several processes numbers them.
RANK = "RANK"
# Of a parameter that learns, in a state: itself and AdamW's two moments, in float32.
STATE_BYTES = 12


@click.command("train")
@click.argument("recipe", type=FILE)
@out_option("A new folder.", required=False)
@click.option(
    "--plan",
    "plan_only",
    is_flag=True,
    help="Print what it will cost, and stop. Of a base on a hub only the configuration is fetched.",
)
@click.option(
    "--devices",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="With --plan: as sharded over so many devices.",
)
@hub_option
@output_options
def train_command(
    recipe: Path, target: Path | None, plan_only: bool, devices: int, hub: str, out: Output
) -> None:
    """Fine-tune a base: train a regional adapter, with its card.

    RECIPE is YAML with `kind: train`. It can be stopped and run again: it goes on from its last
    state. `accelerate launch --multi_gpu -m ggez_hub train ...` takes several devices, and with
    --use_fsdp --fsdp_version 2 a model that does not fit one.
    """
    require("train", "torch", "transformers", "diffusers", "peft", "accelerate", "datasets")
    from ggez_hub.training.job import Job, read_training
    from ggez_hub.training.run import train

    spec = read_training(recipe)
    if plan_only:
        from ggez_hub.training.plan import plan

        with base_of(spec, recipe.parent, hub, quiet=out.quiet, weights=False) as base:
            job = Job(spec, recipe.parent, base)
            _print_plan(spec, plan(job, target or Path(), devices), out)
        return
    if devices > 1:
        raise UsageProblem(
            "--devices is for --plan",
            "Train on several by `accelerate launch --use_fsdp --fsdp_version 2 -m ggez_hub train`.",
        )
    if target is None:
        raise UsageProblem("where should it be written?", "Give a new folder with -o.")
    if os.environ.get(RANK, "0") != "0":
        # Of several processes one prints.
        out = Output(quiet=True)
    with (
        show_progress(None if out.quiet else out.note),
        base_of(spec, recipe.parent, hub, quiet=out.quiet) as base,
        ExitStack() as opened,
    ):
        done = train(
            Job(spec, recipe.parent, base),
            target,
            on_start=partial(_print_start, spec, out=out),
            on_step=_StageProgress(opened).update,
        )
    _print_trained(done, out)


class _StageProgress:
    """A task for each stage, named with its losses; before the first one the examples are read."""

    def __init__(self, opened: ExitStack) -> None:
        self._opened = opened
        self._task = opened.enter_context(task("reading the examples"))
        self._stage: str | None = None
        self._validation = ""

    def update(self, stage: str, report: StepReport) -> None:
        if stage != self._stage:
            self._opened.close()
            self._task = self._opened.enter_context(task(stage))
            self._stage, self._validation = stage, ""
        if report.validation is not None:
            self._validation = f", validation {report.validation:.4g}"
        what = f"{stage}, loss {report.loss:.4g}{self._validation}"
        self._task.update(report.step, report.steps, what)


@contextmanager
def base_of(
    spec: TrainRecipe, here: Path, hub: str, *, quiet: bool, weights: bool = True
) -> Iterator[ModelSource]:
    """The base of a recipe on this machine; one of a hub is fetched into the cache.

    Without `weights` it is a sparse copy: its configuration, and the names of its files.

    Raises UsageProblem for a place that is neither, and what fetching raises.
    """
    from ggez_hub.cli.models import note_unexpected
    from ggez_hub.families import get_family
    from ggez_hub.hub.sparse_copy import sparse_copy
    from ggez_hub.registry.contribution.adapter_files import find_base
    from ggez_hub.registry.local_merge.inputs import ModelSource, fetch_base_files, on_disk

    place = here / Path(spec.base).expanduser()
    if place.is_dir():
        found = on_disk(place)
        if spec.base_repo is not None:
            named = repository_of(spec.base_repo, here)
            found = ModelSource(found.path, found.given, *named, found.readme)
        yield found
        return
    named = repository_of(spec.base, here)
    with TemporaryDirectory(prefix="ggez-hub-") as staging, connect(hub, quiet=quiet) as server:
        if not weights:
            at = server.at_commit(*named)
            note_unexpected(at, named[1])
            names = get_family(spec.family).configuration
            with sparse_copy(server, at, names, headers=False) as folder:
                yield ModelSource(folder, spec.base, at.repo, at.revision)
            return
        base = find_base(server, "@".join(named), spec.family, spec.variant)
        note_unexpected(base.at, named[1])
        yield fetch_base_files(server, base, Path(staging) / "base", lambda path: True)


def _print_trained(done: TrainedFolder, out: Output) -> None:
    record = done.record
    losses = record["losses"]
    out.line(
        f"{done.out}: {counted(record['trained_parameters'], 'parameter')}, {counted(record['steps'], 'step')}, "
        f"{counted(record['examples'], 'example')}" + _losses(losses)
    )
    if record["unused"]:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in record["unused"].items())
        out.line(f"rows that were not used: {reasons}")
    if record["validations"]:
        step, loss = min(record["validations"], key=lambda pair: pair[1])
        out.line(f"lowest validation loss {loss:.4g}, at step {step}")
    folder = str(done.out)
    sweep = command_line("sweep", {"": "RECIPE.yaml", "-o": "RESULTS"})
    out.line("Measure it over beta, put the scores on its card, and publish it:")
    out.line(f"  {sweep}")
    out.line(f"  ggez-hub card measure RESULTS {shlex.quote(folder)}")
    out.line(f"  {command_line('publish', {'': folder, '--repo': 'ORG/NAME'})}")
    out.document({"out": str(done.out), **record})


def _losses(losses: Sequence[tuple[int, float]]) -> str:
    """The first and the last mean loss, each with the number of steps that it is the mean of."""
    if len(losses) < 2:
        return "".join(f", loss {loss:.4g}" for _, loss in losses)
    (first, begun), (last_but_one, _), (last, ended) = losses[0], losses[-2], losses[-1]
    return (
        f", loss {begun:.4g} (mean of the first {counted(first, 'step')}) "
        f"to {ended:.4g} (of the last {last - last_but_one:,})"
    )


def _print_plan(recipe: TrainRecipe, plan: Plan, out: Output) -> None:
    for line in _work(recipe, plan):
        out.line(line)
    out.table((_device_memory(plan), "GB"), _memory(plan))
    out.line(
        "Activations are counted in a forward pass without data; what kernels use in passing is not "
        "in it: leave a fifth more."
    )
    for line in _room(plan):
        out.line(line)
    out.document(plan.as_dict())


def _print_start(recipe: TrainRecipe, start: RunStart, out: Output) -> None:
    """The plan on stderr before a run begins, and whether it continues an earlier one."""
    memory = ", ".join(f"{name} {count}" for name, count in _memory(start.plan))
    memory = f"{_device_memory(start.plan)} in GB: {memory}"
    for line in (*_work(recipe, start.plan), memory, *_room(start.plan)):
        out.note(line)
    if start.resumed is not None:
        stage, step = start.resumed
        out.note(f"going on after step {step:,} of {stage}")
    elif start.stale:
        out.note("starting again: the kept state is of another recipe, or of other data")


def _work(recipe: TrainRecipe, plan: Plan) -> Iterator[str]:
    yield spelled_out(find_region(recipe.region))
    # Modules of an adapter are added to the base's parameters.
    total = plan.parameters + (plan.trained_parameters if plan.modules else 0)
    where = f" on {counted(plan.modules, 'module')}" if plan.modules else ""
    yield f"{plan.base}: {plan.family}, method {plan.method}"
    share = plan.trained_parameters / total
    yield f"trained: {plan.trained_parameters:,} parameters{where}, {share:.2%} of {total:,}"
    for stage in plan.stages:
        yield f"{stage.name}: {_stage(stage, plan)}"


def _device_memory(plan: Plan) -> str:
    return "device memory" if plan.devices == 1 else f"memory of each of {plan.devices} devices"


def _memory(plan: Plan) -> list[tuple[str, str]]:
    memory = plan.memory
    gathered = [("layers that are gathered", _gb(memory.gathered))] if memory.gathered else []
    return [
        ("weights", _gb(memory.weights)),
        ("gradients", _gb(memory.gradients)),
        ("optimiser (AdamW's moments)", _gb(memory.optimiser)),
        *gathered,
        (f"activations of {plan.micro_batch} at once", _gb(memory.activations)),
        ("together", _gb(memory.total)),
    ]


def _room(plan: Plan) -> Iterator[str]:
    if plan.device_bytes:
        yield f"device: {plan.device_bytes / 1e9:.1f} GB"
    else:
        yield "device: none is seen here, so that this machine's own memory is compared"
    yield f"disk: {_gb(plan.disk_bytes)} GB of {_gb(plan.free_bytes)} GB free"
    if plan.devices > 1:
        state = STATE_BYTES * plan.trained_parameters
        yield f"memory of the first process while a state is written: {_gb(state)} GB"
    yield f"fits: {'unknown' if plan.fits is None else 'yes' if plan.fits else 'no'}"
    if not plan.fits:
        yield (
            "Less at once: a smaller micro_batch (the result is the same), gradient_checkpointing: "
            "true, precision: bf16, method: lora."
        )


def _stage(stage: StagePlan, plan: Plan) -> str:
    if stage.examples is None:
        return f"steps {stage.steps or 'unknown'}: {stage.problem}"
    examples = counted(stage.examples, "example")
    if stage.rows != stage.examples:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in stage.unused.items())
        examples += f" of {counted(stage.rows or 0, 'row')} (not used: {reasons})"
    if stage.held_out:
        examples += f", {stage.held_out:,} of them held out"
    if stage.steps is None:
        return f"{examples}: {stage.problem}"
    return f"{examples}, {counted(stage.steps, 'step')} of {plan.batch_size}"


def _gb(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 1e9:.2f}"
