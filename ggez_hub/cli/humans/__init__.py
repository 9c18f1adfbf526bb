"""`humans`: studies in which people judge what models answer or draw."""

from __future__ import annotations

import click

from ggez_hub.cli.group import Group
from ggez_hub.cli.humans.score import score_command


@click.group("humans", cls=Group)
def humans_command() -> None:
    """Studies: people judge what models answer or draw, and scores follow."""


humans_command.add_command(score_command)
