"""`humans`: studies in which people judge what models answer or draw."""

from __future__ import annotations

import click

from ggez_hub.cli.group import Group
from ggez_hub.cli.humans import serve


@click.group("humans", cls=Group)
def humans_command() -> None:
    """Studies: people judge what models answer or draw, and scores follow."""


humans_command.add_command(serve.serve_command)
