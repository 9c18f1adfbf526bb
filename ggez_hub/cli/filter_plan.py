"""What a filter takes: parts, tasks, hours and dollars, before anything is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.cli.engine import Jobs
from ggez_hub.cli.measurement_plan import nbytes_of
from ggez_hub.cli.output import Output
from ggez_hub.errors import UsageProblem
from ggez_hub.execution import Engine
from ggez_hub.quantities import counted

if TYPE_CHECKING:
    from ggez_hub.data.spec import FilterSpec
    from ggez_hub.data.stage_costs import FilterCost


def planned(
    recipe: FilterSpec,
    folder: Path,
    engine: Engine,
    shards: int | None,
    out: Output,
    only_plan: bool,
) -> bool:
    """Print the plan where it was asked for, or jobs are to start; whether that is all.

    Raises UsageProblem where jobs are to read sources of this machine, or to ask an endpoint.
    """
    from ggez_hub.data.local_inputs import with_absolute_paths
    from ggez_hub.data.plan import FilterPlan
    from ggez_hub.data.stage_costs import cost_of

    jobs = engine.open_jobs if isinstance(engine.open_jobs, Jobs) else None
    if not (only_plan or jobs):
        return False
    plan = FilterPlan(recipe, folder)
    stages, nbytes = plan.stages(shards), sum(reader.nbytes() for reader in plan.readers)
    if jobs:
        _refuse_endpoints(recipe)
    if jobs and (nbytes or any(source.pictures is not None for source in plan.sources)):
        raise UsageProblem(
            "this filter reads files of this machine, which jobs cannot see",
            "Push them to a data set of the Hub, and name it under `hub` of the source.",
        )
    text = ", ".join(f"{name} {count}" for name, count in stages)
    out.line(f"{counted(len(plan.parts), 'part')}, {nbytes / 1e6:,.1f} MB of them files here")
    out.line(f"tasks: {text}; those of links, matches and writing follow from the data")
    document = {"parts": len(plan.parts), "local_bytes": nbytes, "stages": dict(stages)}
    price = None
    if jobs:
        price, started = jobs.price(), sum(min(count, jobs.workers) for _, count in stages)
        sent = sum(map(nbytes_of, with_absolute_paths(recipe, folder)[1]))
        left = jobs.budget.left
        bought = f", of which the budget is {left / price:,.2f}" if price and left else ""
        out.line(
            f"at least {counted(started, 'job')} on {jobs.machine}, {jobs.workers} at once: "
            f"${price:.2f} for each hour of one{bought}"
        )
        out.line(f"{sent / 1e6:,.1f} MB that the spec names here are sent, and fetched by each")
        document |= {"jobs_at_least": started, "usd_an_hour": price, "sent_bytes": sent}
    document["estimate"] = _print_cost(cost_of(plan), engine, price, out)
    if only_plan:
        out.document(document)
    return only_plan


def with_models(engine: Engine, recipe: FilterSpec) -> Engine:
    """The engine; its jobs install what the models of the filter need, if it has some."""
    from ggez_hub.data.scorers.spec import LocalModel

    jobs = engine.open_jobs
    if not (isinstance(jobs, Jobs) and any(isinstance(m, LocalModel) for m in recipe.models)):
        return engine
    return replace(engine, open_jobs=replace(jobs, extras=f"{jobs.extras},merge"))


def _refuse_endpoints(recipe: FilterSpec) -> None:
    from ggez_hub.data.scorers.spec import EndpointModel

    for model in recipe.models:
        if isinstance(model, EndpointModel):
            raise UsageProblem(
                f"{model.url} is asked from here: jobs have neither its key nor a way to it",
                "Leave out --on: of an endpoint, `parallel` questions are asked at once.",
            )


def _print_cost(
    cost: FilterCost, engine: Engine, price: float | None, out: Output
) -> dict[str, Any]:
    """Print hours by stage, and dollars at a price an hour; the same for --json."""
    from ggez_hub.data.stage_costs import SOURCE

    columns: dict[str, Callable[[float], str]] = {"processor hours": "{:.2g}".format}
    if engine.workers > 1:
        columns[f"hours, {engine.workers} at once"] = lambda hours: f"{hours / engine.workers:.2g}"
    if price is not None:
        columns[f"dollars on {engine.address}"] = lambda hours: f"{hours * price:.2f}"
    rows = [
        (name, *("not known" if hours is None else shown(hours) for shown in columns.values()))
        for name, hours in [*cost.stages.items(), ("all that is known", cost.hours)]
    ]
    about = counted(cost.rows, "row")
    sure = f"about {about}" if cost.is_counted else f"each {about}: how many there are is not known"
    out.table(("stage", *columns), rows, title=f"Estimate for {sure}")
    out.line(f"By rates of {SOURCE}: other processors and pictures take more or less.")
    document: dict[str, Any] = {
        "rows": cost.rows,
        "is_counted": cost.is_counted,
        "hours": cost.stages,
        "rates": SOURCE,
    }
    if price is not None:
        out.line("Starting and installing of jobs and what they fetch are paid, and not in it.")
        document["usd"] = cost.hours * price
    return document
