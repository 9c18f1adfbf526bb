"""`ci`: the steps of the workflows, each of which can be run by hand."""

from __future__ import annotations

import click

from ggez_hub.cli.ci.contributions import (
    adopt_command,
    answer_command,
    automerge_command,
    check_command,
)
from ggez_hub.cli.ci.evaluation import (
    authorise_command,
    evaluate_command,
    plan_command,
    say_command,
    submit_command,
)
from ggez_hub.cli.ci.gate import gate_command
from ggez_hub.cli.ci.maintenance import (
    affected_command,
    measure_command,
    pin_command,
    publish_command,
    retune_command,
)
from ggez_hub.cli.ci.registry import ci_doctor_command, release_check_command
from ggez_hub.cli.group import Group


@click.group("ci", cls=Group)
def ci_command() -> None:
    """The steps of the registry's workflows."""


for _step in (
    adopt_command,
    check_command,
    answer_command,
    automerge_command,
    authorise_command,
    plan_command,
    evaluate_command,
    submit_command,
    gate_command,
    say_command,
    pin_command,
    measure_command,
    publish_command,
    retune_command,
    affected_command,
    ci_doctor_command,
    release_check_command,
):
    ci_command.add_command(_step)
