"""A whole run: everything checked, then the stages, then the folder, whole or absent."""

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

from ggez_hub.atomic_files import atomic_folder
from ggez_hub.errors import UsageProblem
from ggez_hub.extras import require
from ggez_hub.output_lock import lock_output, lock_work_folder
from ggez_hub.training import lora
from ggez_hub.training.backend import TrainingModule
from ggez_hub.training.card import EarlierStage, FinishedRun, write_card
from ggez_hub.training.checkpoint import Progress, progress_of
from ggez_hub.training.examples import reasons
from ggez_hub.training.interruption import Interrupted, stop_asked
from ggez_hub.training.job import Job, about
from ggez_hub.training.loop import STATE, Report, Settings, accelerator_of, fit
from ggez_hub.training.output import stored_names, write_finetune
from ggez_hub.training.plan import Plan, plan
from ggez_hub.training.validation_split import order_of, tables_of

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped]


Told: TypeAlias = Callable[[str, Report], None]
# A run is called by so much of its digest.
NAME = 16


@contextmanager
def tracked(project: str | None, digest: str, did: Told) -> Iterator[Told]:
    """`did`, which tells trackio too; raises MissingExtra where that is not installed."""
    if project is None:
        yield did
        return
    require("trackio", "trackio")
    import trackio

    def told(stage: str, report: Report) -> None:
        values = {
            "loss": report.loss,
            "learning_rate": report.rate,
            "validation": report.validation,
        }
        known = {f"{stage}/{key}": value for key, value in values.items() if value is not None}
        trackio.log(known, step=report.step)
        did(stage, report)

    # It prints what it does; the answer alone goes to stdout.
    with redirect_stdout(sys.stderr):
        # What goes on after a kill is the same run there too.
        trackio.init(project=project, name=digest[:NAME], resume="allow", config={"digest": digest})
        try:
            yield told
        finally:
            trackio.finish()


RECORD = "training.json"
# Where things lie on this machine is nobody's business: the record may be published.
PLACES = {"base", "data", "validation", "cpt"}


@dataclass(frozen=True)
class RunStart:
    """What can be said before the first step.

    kept   stage and step of the state that the run goes on from
    stale  whether states of another recipe, or of other data, lie there: nothing is taken of them
    """

    plan: Plan
    kept: tuple[str, int] | None
    stale: bool


@dataclass(frozen=True)
class Trained:
    """A run that is done; `record` is what training.json says of it."""

    out: Path
    record: dict[str, Any]


def train(
    job: Job,
    out: Path,
    *,
    begins: Callable[[RunStart], None] | None = None,
    did: Callable[[str, Report], None] = lambda stage, report: None,
) -> Trained:
    """Train into the folder `out`, which appears when it is whole.

    Interrupted, it goes on from its last state when it is called again. `begins` is told what it
    will cost, unless it is done already; `did` the stage and each step. Raises BadRecipe, BadSource,
    NotLoaded, NotStored, Diverged, Interrupted, OutputInUse; UsageProblem if `out` is something else.
    """
    require("train", "accelerate", "datasets", "peft", "torch")
    job.check()
    accelerator = accelerator_of(job.recipe)
    _finished(out, job.digest)
    work = out.absolute().with_name(f".{out.name}.training")
    with ExitStack() as stack:
        if accelerator.is_main_process:
            stack.enter_context(lock_work_folder(work, out))
        accelerator.wait_for_everyone()
        record = _finished(out, job.digest)
        if record is None:
            if begins is not None and accelerator.is_main_process:
                # A job of its own: planning leaves nothing of the skeleton.
                begins(RunStart(plan(replace(job), out), *_states(work, job)))
            project = job.recipe.trackio if accelerator.is_main_process else None
            with tracked(project, job.digest, did) as told:
                try:
                    record = _trained(job, out, work / job.digest[:16], accelerator, told)
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
    return Trained(out, record)


def _states(work: Path, job: Job) -> tuple[tuple[str, int] | None, bool]:
    """How far the job has come before, and whether another job has left something."""
    kept = None
    for stage in job.recipe.stages:
        path = work / job.digest[:16] / stage.name / STATE
        if path.is_file():
            kept = (stage.name, progress_of(path).step)
    others = [p for p in work.glob(f"*/*/{STATE}") if p.parent.parent.name != job.digest[:16]]
    return kept, bool(others)


def _trained(
    job: Job,
    out: Path,
    work: Path,
    accelerator: Accelerator,
    did: Callable[[str, Report], None],
) -> dict[str, Any]:
    recipe = job.recipe
    with accelerator.main_process_first():
        tables = [tables_of(job, stage, work) for stage in recipe.stages]
    learner = opened(job)
    learner.to(accelerator.device)
    progress = Progress()
    before: list[EarlierStage] = []
    for number, stage in enumerate(recipe.stages):
        place = work / stage.name
        place.mkdir(parents=True, exist_ok=True)
        learner.begin(stage.name)
        with accelerator.main_process_first():
            rows, held_out = (
                table and learner.prepared(table, place / name, accelerator.device)
                for name, table in zip(("rows", "held-out"), tables[number], strict=True)
            )
        order = order_of(job, rows)
        steps = order.steps(stage.epochs, stage.max_steps)
        with stop_asked(say=accelerator.is_main_process) as asked:
            progress = fit(
                learner,
                rows,
                held_out,
                order,
                Settings(recipe, stage.optimiser, recipe.seed + number, steps),
                accelerator,
                place,
                partial(did, stage.name),
                asked,
            )
        if number < len(recipe.stages) - 1:
            origin = job.examples(stage).origin
            before.append(EarlierStage(stage.name, origin, len(rows), progress.step))
    learner.publish()
    rows, held_out = tables[-1]
    examples = job.examples(recipe.stages[-1])
    unused = reasons(examples.sorted_out(job.unused))
    made = FinishedRun(
        recipe=recipe,
        base=job.base,
        weights=job.weights,
        origin=examples.origin,
        languages=examples.languages,
        examples=len(rows),
        held_out=len(held_out or ()),
        unused=unused,
        trained=lora.trained_parameters(learner),
        steps=steps,
        progress=progress,
        before=before,
        validation=job.validation.origin if job.validation else None,
        follows={
            **learner.follows(),
            **({"lora.modules": len(job.targets)} if recipe.method == "lora" else {}),
            "device": accelerator.device.type,
            "processes": accelerator.num_processes,
        },
    )
    record = {
        "kind": "training",
        "digest": job.digest,
        "base": f"{job.base.repo}@{job.base.revision or 'main'}",
        "recipe": recipe.model_dump(mode="json", exclude_none=True, exclude=PLACES),
        "examples": len(rows),
        "unused": unused,
        "held_out": made.held_out,
        "trained_parameters": made.trained,
        "steps": progress.step,
        "losses": progress.losses,
        "validations": progress.validations,
    }
    if accelerator.is_main_process:
        _write(job, learner, made, record, out)
    return record


def opened(job: Job) -> TrainingModule:
    """The base as a learner, with factors on it or its own parameters learning."""
    import torch

    recipe = job.recipe
    if recipe.method == "full":
        stored_names(job.parameters, job.index, job.family)
    with about("base"):
        learner = job.way.open(
            job.base.path, recipe, lora.at_dtype(recipe.precision, recipe.method)
        )
    learner.requires_grad_(False)
    if recipe.gradient_checkpointing:
        learner.save_memory()
    if recipe.method == "lora":
        torch.manual_seed(recipe.seed)
        learner.model = lora.put_on(learner.model, recipe, job.targets)
    else:
        for name in job.parameters:
            learner.model.get_parameter(name).requires_grad_(True)
    return learner


def _write(
    job: Job, learner: TrainingModule, made: FinishedRun, record: dict[str, Any], out: Path
) -> None:
    with lock_output(out), atomic_folder(out) as folder:
        if job.recipe.method == "lora":
            assert job.base.repo is not None  # noqa: S101 - checked before anything was loaded
            job.way.write(learner.model, folder, job.base.repo, job.base.revision)
        else:
            trained = {name: learner.model.get_parameter(name) for name in job.parameters}
            write_finetune(trained, job.index, job.layout, job.family, folder)
        (folder / RECORD).write_text(
            json.dumps(record, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
        )
        write_card(made, folder)


def _finished(out: Path, digest: str) -> dict[str, Any] | None:
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
