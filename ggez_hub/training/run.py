"""A whole training run: checks, stages, and the output folder, which is complete or absent."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from ggez_hub.atomic_files import atomic_folder
from ggez_hub.errors import UsageProblem
from ggez_hub.extras import require
from ggez_hub.output_lock import lock_output, lock_work_folder
from ggez_hub.training.backend import TrainingModule
from ggez_hub.training.card import FinishedRun, FinishedStage, write_card
from ggez_hub.training.checkpoint import Interrupted, catch_stop_signals, read_progress
from ggez_hub.training.job import Job, about_key
from ggez_hub.training.loop import STATE, StageLoop, StepReport, new_accelerator
from ggez_hub.training.lora import add_lora, base_dtype, trained_parameters
from ggez_hub.training.output import stored_names, write_finetune
from ggez_hub.training.plan import Plan, plan
from ggez_hub.training.sharding import Sharding, configured, gather, name_of, open_sharded
from ggez_hub.training.validation_split import batch_order, count_rows, stage_tables
from ggez_hub.training.zero import ZeroSettings

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped]

RECORD = "training.json"
# The digits of a digest that name its working folder, and its run on trackio.
DIGITS = 16

OnStep: TypeAlias = Callable[[str, StepReport], None]
"""Called after each step with the name of its stage."""


@dataclass(frozen=True)
class RunStart:
    """What is known before the first step.

    resumed  stage and step of the state that the run goes on from
    stale    whether there is a state of another recipe, or of other data, which is not used
    """

    plan: Plan
    resumed: tuple[str, int] | None
    stale: bool


@dataclass(frozen=True)
class TrainedFolder:
    """The output of a run; `record` is the content of its training.json."""

    out: Path
    record: dict[str, Any]


def train(
    job: Job,
    out: Path,
    *,
    on_start: Callable[[RunStart], None] | None = None,
    on_step: OnStep = lambda stage, report: None,
) -> TrainedFolder:
    """Train into the folder `out`, which appears when it is complete.

    Interrupted, it goes on from its last state when it is called again. `on_start` is not called for
    a run that is done already.

    Raises: BadRecipe, BadSource, NotLoaded. GgezError: the loss is not finite. Interrupted.
    OutputInUse. UsageProblem: `out` is something else.
    """
    require("train", "accelerate", "datasets", "peft", "torch")
    job.check()
    sharding = configured(job.recipe)
    accelerator = new_accelerator(job.recipe)
    _finished_record(out, job.digest)
    work = out.absolute().with_name(f".{out.name}.training")
    with ExitStack() as stack:
        if accelerator.is_main_process:
            stack.enter_context(lock_work_folder(work, out))
        accelerator.wait_for_everyone()
        record = _finished_record(out, job.digest)
        if record is None:
            if on_start is not None and accelerator.is_main_process:
                # A job of its own: planning leaves nothing of the skeleton.
                devices = accelerator.num_processes if sharding else 1
                on_start(RunStart(plan(replace(job), out, devices), *_states(work, job)))
            project = job.recipe.trackio if accelerator.is_main_process else None
            try:
                with _tracking(project, job.digest, on_step) as tracked:
                    record = _run_stages(
                        job, out, work / job.digest[:DIGITS], accelerator, sharding, tracked
                    )
            except UsageProblem:
                if accelerator.is_main_process and not any(work.glob(f"*/*/{STATE}")):
                    shutil.rmtree(work, ignore_errors=True)
                raise
            except KeyboardInterrupt:
                raise Interrupted(
                    "stopped", "The same command goes on from the last state that was kept."
                ) from None
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        shutil.rmtree(work, ignore_errors=True)
    return TrainedFolder(out, record)


def _states(work: Path, job: Job) -> tuple[tuple[str, int] | None, bool]:
    """How far the job has come before, and whether another job has left a state."""
    own = work / job.digest[:DIGITS]
    resumed = None
    for stage in job.recipe.stages:
        path = own / stage.name / STATE
        if path.is_file():
            resumed = (stage.name, read_progress(path).step)
    return resumed, any(path.parent.parent != own for path in work.glob(f"*/*/{STATE}"))


def _run_stages(
    job: Job,
    out: Path,
    work: Path,
    accelerator: Accelerator,
    sharding: Sharding | None,
    on_step: OnStep,
) -> dict[str, Any]:
    recipe = job.recipe
    with accelerator.main_process_first():
        tables = [stage_tables(job, stage, work) for stage in recipe.stages]
    if sharding is None:
        module = open_module(job)
        module.to(accelerator.device)
    else:
        module = open_sharded(partial(open_module, job), sharding, accelerator)
    done: list[FinishedStage] = []
    for number, stage in enumerate(recipe.stages):
        folder = work / stage.name
        folder.mkdir(parents=True, exist_ok=True)
        module.begin(stage.name)
        with accelerator.main_process_first():
            rows, held_out = (
                table and module.prepare(table, folder / name, accelerator.device)
                for name, table in zip(("rows", "held-out"), tables[number], strict=True)
            )
        order = batch_order(job, rows)
        with catch_stop_signals(announce=accelerator.is_main_process) as stop_requested:
            loop = StageLoop(
                recipe=recipe,
                optimiser=stage.optimiser,
                seed=recipe.seed + number,
                steps=order.steps(stage.epochs, stage.max_steps),
                module=module,
                rows=rows,
                held_out=held_out,
                order=order,
                accelerator=accelerator,
                folder=folder,
                on_step=partial(on_step, stage.name),
                stop_requested=stop_requested,
                zero=sharding if isinstance(sharding, ZeroSettings) else None,
            )
            progress = loop.run()
        origin = job.examples(stage).origin
        done.append(FinishedStage(stage.name, origin, len(rows), progress.step))
    module.finish()
    trained = trained_parameters(module)
    gather(module, keep=accelerator.is_main_process)
    factors = {"lora.modules": len(job.targets)} if recipe.method == "lora" else {}
    run = FinishedRun(
        job=job,
        stages=done,
        held_out=len(held_out or ()),
        unused=count_rows(job, recipe.stages[-1]).unused,
        trained=trained,
        planned=loop.steps,
        progress=progress,
        derived={
            **module.derived_settings(),
            **factors,
            "device": accelerator.device.type,
            "processes": accelerator.num_processes,
            **({"sharding": name_of(sharding)} if sharding else {}),
        },
    )
    if accelerator.is_main_process:
        _write(run, module, out)
    return run.record()


def open_module(job: Job) -> TrainingModule:
    """The base as a module in training, with factors on it or its own parameters learning."""
    recipe = job.recipe
    if job.parameters:
        stored_names(job.parameters, job.index, job.family)
    with about_key("base"):
        module = job.backend.open(job.base.path, recipe, base_dtype(recipe))
    module.requires_grad_(False)
    if recipe.gradient_checkpointing:
        module.save_memory()
    if recipe.method == "lora":
        torch.manual_seed(recipe.seed)
        module.model = add_lora(module.model, recipe, job.targets)
    for name in job.parameters:
        module.model.get_parameter(name).requires_grad_(True)
    return module


def _write(run: FinishedRun, module: TrainingModule, out: Path) -> None:
    job, model = run.job, module.model
    with lock_output(out), atomic_folder(out) as folder:
        if job.recipe.method == "lora":
            assert job.base.repo is not None  # noqa: S101 - `check` requires it
            job.backend.write(model, folder, job.base.repo, job.base.revision)
        else:
            trained = {name: model.get_parameter(name) for name in job.parameters}
            write_finetune(trained, job.index, job.layout, job.family, folder)
        text = json.dumps(run.record(), ensure_ascii=False, indent=2) + "\n"
        (folder / RECORD).write_text(text, encoding="utf-8")
        write_card(run, folder)


def _finished_record(out: Path, digest: str) -> dict[str, Any] | None:
    """The record of an output that is there already; raises UsageProblem if it is another one."""
    if not out.exists():
        return None
    if (out / RECORD).is_file():
        record: dict[str, Any] = json.loads((out / RECORD).read_text(encoding="utf-8"))
        if record.get("digest") == digest:
            return record
    raise UsageProblem(
        f"{out} exists, and is not the result of this recipe on this data",
        "Give another folder with -o, or remove it.",
    )


@contextmanager
def _tracking(project: str | None, digest: str, on_step: OnStep) -> Iterator[OnStep]:
    """`on_step`, which also logs to trackio if the recipe names a project; raises MissingExtra."""
    if project is None:
        yield on_step
        return
    require("trackio", "trackio")
    import trackio

    def log(stage: str, report: StepReport) -> None:
        values = {
            "loss": report.loss,
            "learning_rate": report.rate,
            "validation": report.validation,
        }
        known = {f"{stage}/{key}": value for key, value in values.items() if value is not None}
        trackio.log(known, step=report.step)
        on_step(stage, report)

    # It prints what it does; stdout is for the command's own answer.
    with redirect_stdout(sys.stderr):
        name = digest[:DIGITS]
        trackio.init(project=project, name=name, resume="allow", config={"digest": digest})
        try:
            yield log
        finally:
            trackio.finish()
