"""Where tasks run: the options of commands that have many of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ggez_hub.cli.parameters import Number
from ggez_hub.errors import UsageProblem
from ggez_hub.execution import Engine, Executor, SharedFolder
from ggez_hub.extras import require

if TYPE_CHECKING:
    from ggez_hub.hub import Hub
    from ggez_hub.hub.job_tasks import JobBudget

F = TypeVar("F", bound=Callable[..., Any])
SHARDS_OF_A_MODEL = "How many tasks the questions of each model are divided into.  [default: as many as keep workers busy]"


@dataclass(frozen=True)
class Jobs:
    """HF Jobs as they were asked for: what opens them for some folders."""

    hub: Hub
    machine: str
    workers: int
    budget: JobBudget
    extras: str

    def price(self) -> float:
        """Dollars an hour of the machine; raises UsageProblem where it has none."""
        from ggez_hub.hub.job_tasks import price_of

        return price_of(self.hub, self.machine)

    def __call__(self, shared: Sequence[SharedFolder], inputs: Sequence[Path]) -> Executor:
        from ggez_hub.hub.job_tasks import HubJobs

        return HubJobs(
            self.hub, self.machine, self.workers, self.budget, self.extras, shared, inputs
        )


def engine_options(shards: str, extras: str, *, own_budget: bool = False) -> Callable[[F], F]:
    """Add --on and --workers, which give the command `engine`, and --shards with this help.

    HF Jobs install these `extras`. --budget says what they may cost, and --plan gives `only_plan`; a command with options
    of its own for these calls `on_jobs` itself.
    """
    options = [
        click.option(
            "--on",
            "place",
            default="local",
            show_default=True,
            metavar="ENGINE",
            help="Where tasks run: local:N, processes of this machine; ray, the cluster of this "
            "machine; ray://HOST:PORT, another one; slurm:PARTITION, job arrays of Slurm. Machines of a "
            "cluster have to see the same folders. jobs:MACHINE, HF Jobs.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(1, 4096),
            help="How many tasks run at once.  [default: 1; on a cluster as many as it has room for]",
        ),
        click.option("--shards", type=click.IntRange(1, 4096), help=shards),
    ]
    if not own_budget:
        options += [
            click.option(
                "--budget",
                "dollars",
                type=Number(min=0),
                help="With jobs:MACHINE: what all jobs together may cost, in US dollars.",
            ),
            click.option(
                "--plan", "only_plan", is_flag=True, help="Print what it takes, and stop."
            ),
        ]

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def wrapped(
            *args: Any, place: str, workers: int | None, dollars: float | None = None, **given: Any
        ) -> Any:
            try:
                engine = Engine.parse(place, workers)
            except ValueError as error:
                raise UsageProblem(str(error), "See `--on` in the help of this command.") from None
            if engine.kind == "ray":
                require("scale", "ray")
            if engine.kind == "jobs" and given.get("hub") == "embedded":
                raise UsageProblem(
                    "jobs cannot see a hub of this machine",
                    "Name one that they see with --hub; HF_ENDPOINT says whose jobs they are.",
                )
            if engine.kind == "jobs" and not own_budget:
                engine = on_jobs(engine, dollars, extras, only_plan=given["only_plan"])
            return command(*args, engine=engine, **given)

        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped  # type: ignore[return-value]

    return decorate


def on_jobs(
    engine: Engine, dollars: float | None, extras: str, *, only_plan: bool = False
) -> Engine:
    """An engine of jobs that may cost so much; raises UsageProblem where that is not said."""
    from ggez_hub.hub.client import Hub
    from ggez_hub.hub.job_tasks import JobBudget
    from ggez_hub.hub.jobs import prices

    hub, machine = Hub.of_environment(), str(engine.address)
    if dollars is None and not only_plan:
        price = prices(hub).get(machine)
        known = "has no price there" if price is None else f"costs ${price:.2f} an hour"
        raise UsageProblem(
            f"jobs cost money, and there is no --budget: {machine} {known}",
            f"Give --budget in dollars: with --workers {engine.workers} jobs are stopped before it is spent.",
        )
    budget = JobBudget(dollars or 0.0)
    return replace(engine, open_jobs=Jobs(hub, machine, engine.workers, budget, extras))


def refuse_endpoints(engine: Engine, *models: str | None) -> None:
    """Raise UsageProblem where jobs are to ask a model at an address."""
    from ggez_hub.evaluation.models.endpoint_model import is_address

    for model in models:
        if engine.kind == "jobs" and model and is_address(model):
            raise UsageProblem(
                f"{model} is asked from here: jobs have neither its key nor a way to it",
                "Leave out --on: of an endpoint, --parallel questions are asked at once.",
            )
