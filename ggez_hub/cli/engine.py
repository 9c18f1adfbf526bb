"""Where tasks run: the options of commands that have many of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ggez_hub.errors import UsageProblem
from ggez_hub.execution import Engine
from ggez_hub.extras import require

F = TypeVar("F", bound=Callable[..., Any])


def engine_options(*, divided: bool = False) -> Callable[[F], F]:
    """Add --on and --workers, which give the command `engine`; with `divided` --shards too."""
    options = [
        click.option(
            "--on",
            "place",
            default="local",
            show_default=True,
            metavar="ENGINE",
            help="Where tasks run: local:N, processes of this machine; ray, the cluster of this "
            "machine; ray://HOST:PORT, another one; slurm:PARTITION, job arrays of Slurm. Machines of a "
            "cluster have to see the same folders.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(1, 4096),
            help="How many tasks run at once.  [default: 1; on a cluster as many as it has room for]",
        ),
    ]
    if divided:
        help_text = "How many tasks a stage is divided into, at most.  [default: one for each part]"
        options.append(click.option("--shards", type=click.IntRange(1), help=help_text))

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def wrapped(*args: Any, place: str, workers: int | None, **given: Any) -> Any:
            try:
                engine = Engine.parse(place, workers)
            except ValueError as error:
                raise UsageProblem(str(error), "See `--on` in the help of this command.") from None
            if engine.kind == "ray":
                require("scale", "ray")
            return command(*args, engine=engine, **given)

        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped  # type: ignore[return-value]

    return decorate
