"""A request that may mean several models: on a terminal it is asked which, elsewhere it is refused."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from ggez_hub.cli.output import Output
from ggez_hub.cli.parameters import BETA
from ggez_hub.hub import Hub
from ggez_hub.registry.pulling.plan import Plan, plan
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolving.choices import Undecided


def planned_or_chosen(
    request: Request, hub: Hub, target: Path | None, out: Output, name: str, *, costs_only: bool
) -> Plan:
    """The plan of a request on the hub that the user calls `name`.

    Raises Undecided where it may mean several models and nobody can be asked: with --json the
    choices are then the document.
    """
    options = "" if name == "hf" else f" --hub {name}"
    options += "" if request.form == Request.form else f" --as {request.form}"
    try:
        return plan(request, hub, target, costs_only=costs_only, options=options)
    except Undecided as undecided:
        if not (out.for_people and sys.stdin.isatty() and sys.stdout.isatty()):
            out.document({"choices": [choice.as_dict() for choice in undecided.choices]})
            raise
        for number, choice in enumerate(undecided.choices, start=1):
            out.line(f"{number}  {choice.lines()[0]}")
        count = len(undecided.choices)
        picked = click.prompt("Which one", type=click.IntRange(1, count), err=True)
        choice = undecided.choices[picked - 1]
        beta = request.beta
        if choice.needs_beta:
            beta = click.prompt("beta", type=BETA, err=True)
    chosen = replace(request, adapters=(choice.repo,), beta=beta)
    return plan(chosen, hub, target, costs_only=costs_only)
