"""`humans`: studies in which people judge what models answer or draw."""

from __future__ import annotations

import click

from ggez_hub.cli.group import Group
from ggez_hub.cli.humans import demo, exchange, score, study


@click.group("humans", cls=Group)
def humans_command() -> None:
    """Studies: people judge what models answer or draw."""


for _command in (
    study.new_command,
    study.invite_command,
    study.raters_command,
    study.revoke_command,
    study.forget_command,
    study.serve_command,
    score.score_command,
    exchange.export_command,
    exchange.import_command,
    demo.demo_command,
):
    humans_command.add_command(_command)
