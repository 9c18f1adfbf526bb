"""Questions on a terminal: asked once, with what is likely, and again where an answer is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import click

from ggez_hub.cli.describing import QUESTIONS, Description
from ggez_hub.errors import GgezError


@dataclass(frozen=True)
class Asking:
    """What to ask: the options that have to be answered, those that may be, and what is likely."""

    needed: tuple[str, ...]
    welcome: tuple[str, ...] = ()
    likely: Mapping[str, str | None] | None = None


def on_terminal() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def answered(description: Description, asking: Asking) -> Description:
    """The description with what was asked for; raises UsageProblem where nobody can be asked."""
    if not on_terminal():
        description.require(*asking.needed)
        return description
    likely = asking.likely or {}
    for name in (*asking.needed, *asking.welcome):
        if getattr(description, name) is None:
            answer = click.prompt(
                QUESTIONS[name], default=likely.get(name), value_proc=_checked(name), err=True
            )
            description = replace(description, **{name: answer})
    return description


def _checked(name: str) -> Callable[[str], Any]:
    """What takes an answer or says why it is none; click then asks again."""

    def check(text: str) -> str:
        answer = text.strip()
        try:
            if name in CHECKS:
                CHECKS[name](answer)
        except GgezError as error:
            raise click.UsageError(f"{error.message}. {error.hint}") from error
        return answer

    return check


def _region(text: str) -> None:
    from ggez_hub.regions import find_region

    find_region(text)


def _base(text: str) -> None:
    from ggez_hub.registry.contributing.training_metadata import REPO

    if not REPO.match(text.partition("@")[0]):
        raise GgezError("A repository is named org/name, or org/name@REVISION")


def _license(text: str) -> None:
    from ggez_hub.registry.licences import reviewed

    reviewed(text, "the adapter")


def _adapts(text: str) -> None:
    from typing import get_args

    from ggez_hub.cards.values import Adapts

    if unknown := {p.strip() for p in text.split(",")} - {*get_args(Adapts), "unknown"}:
        raise GgezError(f"There is no {', '.join(sorted(unknown))}")


CHECKS: Mapping[str, Callable[[str], None]] = {
    "region": _region,
    "base": _base,
    "license": _license,
    "adapts": _adapts,
}
