"""`hub`: what the keeper of an embedded hub does, while it serves or not."""

from __future__ import annotations

import click

from ggez_hub.cli.group import Group
from ggez_hub.cli.hub.accounts import org_command, token_command, user_command
from ggez_hub.cli.hub.mirror import mirror_command
from ggez_hub.cli.hub.storage import backup_command, gc_command, purge_command
from ggez_hub.cli.hub.webhooks import webhook_command


@click.group("hub", cls=Group)
def hub_command() -> None:
    """Maintain the hub of a folder: accounts, quotas, garbage, mirrors, backups."""


for _command in (
    user_command,
    org_command,
    token_command,
    gc_command,
    purge_command,
    mirror_command,
    backup_command,
    webhook_command,
):
    hub_command.add_command(_command)
