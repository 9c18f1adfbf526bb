"""`trust`: who may sign for whom; and the options of what is signed and of what has to be."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ggez_hub.cli.group import Group
from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import FILE
from ggez_hub.errors import UsageProblem
from ggez_hub.hub import Hub
from ggez_hub.hub.listings import Signatures

if TYPE_CHECKING:
    from ggez_hub.registry.trust.policy import Signer
    from ggez_hub.registry.trust.signing import SigningKey

R = TypeVar("R")

signatures_option = click.option(
    "--signatures",
    type=click.Choice(["required", "if-present", "off"]),
    help="What has to be signed by who may sign for its owner.  [default: what trust.yaml says]",
)


@dataclass(frozen=True)
class TrustOptions:
    """What has to be signed, and whether an older index will do."""

    signatures: Signatures | None
    allow_stale: bool

    def on(self, hub: Hub) -> Hub:
        """The hub that is asked for it."""
        return replace(hub, signatures=self.signatures, allow_stale=self.allow_stale)


def trust_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command --signatures and --allow-stale; it receives them as `trusted: TrustOptions`."""

    @signatures_option
    @click.option(
        "--allow-stale",
        is_flag=True,
        help="Take an index that is older than one seen before, or expired.",
    )
    @functools.wraps(command)
    def wrapper(*args: Any, signatures: Signatures | None, allow_stale: bool, **options: Any) -> R:
        return command(*args, trusted=TrustOptions(signatures, allow_stale), **options)

    return wrapper


def _signing(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Any:
    return value and signing(value)


def signing(value: str) -> SigningKey:
    """What --signing-key names; raises UsageProblem for a file that is not there."""
    from ggez_hub.registry.trust.policy import read_policy
    from ggez_hub.registry.trust.signing import KEYLESS, signing_key

    if value != KEYLESS and not Path(value).is_file():
        raise UsageProblem(f"--signing-key {value}: there is no such file")
    return signing_key(value, read_policy())


signing_option = click.option(
    "--signing-key",
    "by",
    metavar="FILE|keyless",
    envvar="GGEZ_SIGNING_KEY",
    callback=_signing,
    help="Sign what is sent, by OpenSSF Model Signing: with a key, or as this run of a workflow.",
)


@click.group("trust", cls=Group)
def trust_command() -> None:
    """Who may sign for whom: keys, and identities of workflows."""


@trust_command.command("show")
@output_options
def trust_show(out: Output) -> None:
    """Print the policy, and where it is from."""
    from ggez_hub.registry.constants import policy_file
    from ggez_hub.registry.trust.policy import read_policy

    policy, own = read_policy(), policy_file()
    place = str(own) if own.is_file() else "shipped with ggez-hub"
    out.line(f"policy      {place}")
    out.line(f"signatures  {policy.signatures}")
    if policy.sigstore:
        out.line(f"sigstore    {policy.sigstore}")
    for signer in policy.signers:
        out.line(f"{', '.join(signer.owners)}: {_said(signer)}")
    out.document({"place": place, **policy.model_dump(mode="json")})


@trust_command.command("add")
@click.argument("owner")
@click.option("--key", type=FILE, help="The public key (PEM) that signs for the owner.")
@click.option("--identity", metavar="ADDRESS", help="The identity of a workflow, with its ref.")
@click.option("--issuer", metavar="ADDRESS", help="Who vouches for the identity.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="The last day of its signatures.")
@click.option(
    "--revoked", type=click.DateTime(["%Y-%m-%d"]), help="From this day on it signs nothing."
)
@output_options
def trust_add(
    owner: str,
    key: Path | None,
    identity: str | None,
    issuer: str | None,
    until: datetime | None,
    revoked: datetime | None,
    out: Output,
) -> None:
    """Let a key or an identity sign for an OWNER on a hub; or change its dates.

    To rotate a key, add the new one, and give the old one its last day with --until.
    """
    from pydantic import ValidationError

    from ggez_hub.registry.trust.policy import Signer, key_digest, read_policy, write_policy
    from ggez_hub.validation_errors import listed

    pem = key.read_text(encoding="utf-8") if key else None
    if pem is not None:
        key_digest(pem)
    try:
        signer = Signer(
            owners=(owner,),
            key=pem,
            identity=identity,
            issuer=issuer,
            until=until and until.date(),
            revoked=revoked and revoked.date(),
        )
    except ValidationError as error:
        raise UsageProblem(
            f"this is not a signer:\n{listed(error)}",
            "Give --key FILE.pub, or --identity ADDRESS --issuer ADDRESS.",
        ) from error
    place = write_policy(read_policy().with_signer(signer))
    out.line(f"{owner}: {_said(signer)}; written to {place}")
    out.document({"place": str(place), **signer.model_dump(mode="json")})


@trust_command.command("remove")
@click.argument("owner")
@click.option("--signer", metavar="NAME", help="Only this one, by its name in `trust show`.")
@output_options
def trust_remove(owner: str, signer: str | None, out: Output) -> None:
    """Let nobody, or one signer less, sign for an OWNER."""
    from ggez_hub.registry.trust.policy import read_policy, write_policy

    before = read_policy()
    policy = before.without(owner, signer)
    if policy == before:
        raise UsageProblem(
            f"nobody{f' named {signer}' if signer else ''} signs for {owner}",
            "`ggez-hub trust show` lists who does.",
        )
    place = write_policy(policy)
    left = [_said(each) for each in policy.signers_of(owner)]
    out.line(f"{owner}: {'; '.join(left) or 'nobody'}; written to {place}")
    out.document({"place": str(place), "left": left})


def _said(signer: Signer) -> str:
    dates = [f"{what} {day}" for what in ("until", "revoked") if (day := getattr(signer, what))]
    by = f" of {signer.issuer}" if signer.issuer else ""
    return ", ".join([f"{signer.name}{by}", *dates])
