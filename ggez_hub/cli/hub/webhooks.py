"""`hub webhook`: addresses that are told of what happens on a hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ggez_hub.cli.group import Group
from ggez_hub.cli.hub.options import store_option
from ggez_hub.cli.output import Output, output_options

if TYPE_CHECKING:
    from ggez_hub.embedded import HubStore


@click.group("webhook", cls=Group)
def webhook_command() -> None:
    """Webhooks: add, list, remove."""


@webhook_command.command("add")
@click.argument("url")
@click.option(
    "--watch",
    "watched",
    required=True,
    metavar="ORG[/NAME]",
    help="A user, an organisation or one repository.",
)
@click.option("--secret", envvar="GGEZ_WEBHOOK_SECRET", help="[default: a new one]")
@store_option
@output_options
def webhook_add_command(
    store: HubStore, url: str, watched: str, secret: str | None, out: Output
) -> None:
    """Send the events of repositories to an address, and print the secret of the webhook.

    `serve` has to be given the host of the address with --webhook-host.
    """
    key, secret = store.webhooks.add(url, watched, secret)
    out.document({"id": key, "url": url, "watched": watched, "secret": secret})
    out.line(f"webhook {key}, secret {secret}")


@webhook_command.command("list")
@store_option
@output_options
def webhook_list_command(store: HubStore, out: Output) -> None:
    """List the webhooks, with what waits to be sent and what was given up."""
    found = store.webhooks.all()
    watched = {webhook.key: ", ".join(each.name for each in webhook.watched) for webhook in found}
    out.document(
        [
            {
                "key": webhook.key,
                "url": webhook.url,
                "owner": webhook.owner,
                "watched": watched[webhook.key],
                "disabled": webhook.disabled,
                "failed": webhook.failed,
                "waiting": webhook.waiting,
            }
            for webhook in found
        ]
    )
    out.table(
        ("id", "owner", "watched", "waiting", "failed", "address"),
        [
            (str(w.key), w.owner or "", watched[w.key], str(w.waiting), str(w.failed), w.url)
            for w in found
        ],
        figures=False,
    )


@webhook_command.command("remove")
@click.argument("key", metavar="ID", type=int)
@store_option
@output_options
def webhook_remove_command(store: HubStore, key: int, out: Output) -> None:
    """Remove a webhook, and what waits to be sent to it."""
    store.webhooks.remove(key)
    out.document({"removed": key})
    out.line(f"removed {key}")
