"""`hub user`, `hub org` and `hub token`: who may do what on a hub, changed while it serves."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from ggez_hub.cli.group import Group
from ggez_hub.cli.hub.options import ByteCount, store_option
from ggez_hub.cli.output import Output, output_options
from ggez_hub.embedded.account_keeping import (
    Kind,
    accounts,
    add_member,
    change_user,
    remove_account,
    remove_member,
    revoke,
    token_id,
    tokens,
)
from ggez_hub.embedded.store import HubStore
from ggez_hub.hardware import size_text


class Quota(ByteCount):
    """A number of bytes, or `none` for no quota, which is -1."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return -1 if value == "none" else super().convert(value, param, ctx)


quota_option = click.option(
    "--quota",
    type=Quota(),
    metavar="BYTES|none",
    help="How much their repositories may hold, as 500GB.",
)


def _roles(given: Sequence[str]) -> dict[str, str]:
    pairs = (each.partition(":") for each in given)
    return {name: role or "write" for name, _, role in pairs}


def _set_quota(store: HubStore, name: str, quota: int | None) -> None:
    if quota is not None:
        store.quotas.set(name, None if quota < 0 else quota, store.catalog.of(name))


def _list(store: HubStore, kind: Kind, out: Output) -> None:
    found = accounts(store, kind)
    out.document([asdict(account) for account in found])
    others = "organisations" if kind == "user" else "members"
    out.table(
        ("name", "repositories", "holds", "quota", others),
        [
            (
                account.name + (" (admin)" if account.admin else ""),
                str(account.repos),
                size_text(account.used),
                "-" if account.quota is None else size_text(account.quota),
                " ".join(account.belongs) or "-",
            )
            for account in found
        ],
        figures=False,
    )


@click.group("user", cls=Group)
def user_command() -> None:
    """Users: add or change, list, remove."""


@user_command.command("add")
@click.argument("name")
@click.option("--fullname", help="Their name for people.")
@click.option("--admin/--no-admin", default=None, help="Whether they may do everything.")
@click.option(
    "--org",
    "orgs",
    multiple=True,
    metavar="NAME[:read|write|admin]",
    help="An organisation that they belong to, with their role in it; it is added if missing.",
)
@quota_option
@store_option
@output_options
def user_add_command(
    store: HubStore,
    name: str,
    fullname: str | None,
    admin: bool | None,
    orgs: tuple[str, ...],
    quota: int | None,
    out: Output,
) -> None:
    """Add a user, or change of one what is given."""
    new = change_user(store, name, fullname, admin, _roles(orgs))
    _set_quota(store, name, quota)
    out.document({"name": name, "new": new})
    out.line(f"{'added' if new else 'changed'} {name}")
    if new:
        out.note(f"A token for them: ggez-hub hub token add {name} --root {store.root}")


@user_command.command("list")
@store_option
@output_options
def user_list_command(store: HubStore, out: Output) -> None:
    """List the users, with what they hold."""
    _list(store, "user", out)


@user_command.command("remove")
@click.argument("name")
@store_option
@output_options
def user_remove_command(store: HubStore, name: str, out: Output) -> None:
    """Remove a user and their tokens; their repositories have to be deleted or moved before."""
    remove_account(store, name, "user")
    out.document({"removed": name})
    out.line(f"removed {name}")


@click.group("org", cls=Group)
def org_command() -> None:
    """Organisations: add or change, list, remove."""


@org_command.command("add")
@click.argument("name")
@click.option("--fullname", default="", help="The name for people.")
@click.option(
    "--private/--public",
    "private",
    default=None,
    help="Whether new repositories are private where the request does not say.",
)
@click.option(
    "--member",
    "members",
    multiple=True,
    metavar="USER[:read|write|admin]",
    help="A user who belongs to it, with their role.",
)
@quota_option
@store_option
@output_options
def org_add_command(
    store: HubStore,
    name: str,
    fullname: str,
    private: bool | None,
    members: tuple[str, ...],
    quota: int | None,
    out: Output,
) -> None:
    """Add an organisation, or change of one what is given."""
    store.accounts.add_org(name, fullname, default_private=private)
    for user, role in _roles(members).items():
        add_member(store, name, user, role)
    _set_quota(store, name, quota)
    out.document({"name": name})
    out.line(f"{name} is there")


@org_command.command("list")
@store_option
@output_options
def org_list_command(store: HubStore, out: Output) -> None:
    """List the organisations, with what they hold."""
    _list(store, "org", out)


@org_command.command("remove")
@click.argument("name")
@click.option("--member", help="Take only this user out of it.")
@store_option
@output_options
def org_remove_command(store: HubStore, name: str, member: str | None, out: Output) -> None:
    """Remove an organisation without repositories, or a member of one."""
    if member is None:
        remove_account(store, name, "org")
    else:
        remove_member(store, name, member)
    out.document({"removed": member or name})
    out.line(f"removed {member or name}")


@click.group("token", cls=Group)
def token_command() -> None:
    """Tokens of users: add, list, remove."""


@token_command.command("add")
@click.argument("user")
@click.option(
    "--scope",
    type=click.Choice(["read", "write"]),
    default="read",
    show_default=True,
    help="Whether it may change anything.",
)
@store_option
@output_options
def token_add_command(store: HubStore, user: str, scope: str, out: Output) -> None:
    """Print a new token of a user. It is stored hashed: nobody can print it again."""
    token = store.new_token(user, scope)
    out.document({"token": token, "id": token_id(token), "user": user, "scope": scope})
    out.line(token)


@token_command.command("list")
@click.argument("user", required=False)
@store_option
@output_options
def token_list_command(store: HubStore, user: str | None, out: Output) -> None:
    """List the tokens of a user, or all, by their ids.

    An id is not a secret: it opens nothing.
    """
    found = tokens(store, user)
    out.document([asdict(token) for token in found])

    def day(seconds: int) -> str:
        return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).date().isoformat()

    out.table(
        ("id", "user", "scope", "created"),
        [(token.id, token.user, token.scope, day(token.created)) for token in found],
        figures=False,
    )


@token_command.command("remove")
@click.argument("identity", metavar="ID")
@store_option
@output_options
def token_remove_command(store: HubStore, identity: str, out: Output) -> None:
    """End a token, by its id from `hub token list`; from then on it is refused."""
    revoke(store, identity)
    out.document({"removed": identity})
    out.line(f"removed {identity}")
