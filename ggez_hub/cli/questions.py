"""Questions of a command, on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from ggez_hub.errors import GgezError
from ggez_hub.regions import find_region

REGION = "Which country or region is it for? (th, southeast-asia, Philippines)"


def on_terminal() -> bool:
    """Whether somebody is there who can be asked: questions are printed on stderr."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, check: Callable[[str], object], default: str | None = None) -> str:
    """The answer to a question, which is asked again while `check` raises GgezError."""

    def checked(text: str) -> str:
        answer = text.strip()
        try:
            check(answer)
        except GgezError as error:
            raise click.UsageError(f"{error.message}. {error.hint}".strip()) from error
        return answer

    return str(click.prompt(question, default=default, value_proc=checked, err=True))


def ask_region() -> str:
    """A region, as the user wrote it."""
    return ask(REGION, find_region)


def given_region(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    """The callback of a `--region` that is needed: asked for on a terminal, else missing.

    With --locked it is None: the lock file names it.
    """
    if value is not None or context.resilient_parsing or context.params.get("locked"):
        return value
    if not on_terminal():
        raise click.MissingParameter("Name it: --region th", ctx=context, param=parameter)
    return ask_region()
