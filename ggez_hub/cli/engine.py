"""Where tasks run: the options of commands that have many of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from ggez_hub.cli.parameters import Number
from ggez_hub.errors import UsageProblem
from ggez_hub.execution import Engine, Executor
from ggez_hub.extras import require

F = TypeVar("F", bound=Callable[..., Any])
SHARDS_OF_A_MODEL = "How many tasks the questions of each model are divided into.  [default: as many as keep workers busy]"


def engine_options(shards: str, *, jobs: bool = False) -> Callable[[F], F]:
    """Add --on and --workers, which give the command `engine`, and --shards with this help.

    With `jobs` it may run on HF Jobs, for --budget.
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
            "cluster have to see the same folders." + (" jobs:MACHINE, HF Jobs." if jobs else ""),
        ),
        click.option(
            "--workers",
            type=click.IntRange(1, 4096),
            help="How many tasks run at once.  [default: 1; on a cluster as many as it has room for]",
        ),
        click.option("--shards", type=click.IntRange(1, 4096), help=shards),
    ]
    if jobs:
        help_text = "With jobs:MACHINE: what all jobs together may cost, in US dollars."
        options.append(click.option("--budget", "dollars", type=Number(min=0), help=help_text))

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
            if engine.kind == "jobs":
                if not jobs:
                    raise UsageProblem("HF Jobs run the tasks of `filter` alone", "See --on.")
                engine = replace(engine, open_jobs=_jobs(engine, dollars))
            return command(*args, engine=engine, **given)

        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped  # type: ignore[return-value]

    return decorate


def _jobs(engine: Engine, dollars: float | None) -> Callable[[Sequence[Path]], Executor]:
    """What opens the jobs of an engine, once it is known what they may cost."""
    from ggez_hub.hub.client import Hub
    from ggez_hub.hub.job_tasks import HubJobs
    from ggez_hub.hub.jobs import prices

    hub, machine = Hub.of_environment(), str(engine.address)
    if dollars is None:
        price = prices(hub).get(machine)
        known = "has no price there" if price is None else f"costs ${price:.2f} an hour"
        raise UsageProblem(
            f"jobs cost money, and there is no --budget: {machine} {known}",
            f"Give --budget USD: with --workers {engine.workers} jobs are stopped before it is spent.",
        )
    return lambda shared: HubJobs(hub, machine, engine.workers, dollars, shared)
