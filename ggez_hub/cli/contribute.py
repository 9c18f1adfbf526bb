"""`contribute` and `publish`: an adapter to the hub, and to the registry by a pull request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
from huggingface_hub import constants

from ggez_hub.cards import CardDocument, render_card
from ggez_hub.cards.schema import Location
from ggez_hub.cli.description import (
    Description,
    complete,
    description_options,
    note_other_base,
)
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import FOLDER
from ggez_hub.cli.trust import signing_option
from ggez_hub.command_line import command_line
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.hub import Hub
from ggez_hub.hub_connection import connect
from ggez_hub.regions import find_region
from ggez_hub.registry.constants import INDEX_REPO
from ggez_hub.registry.contribution.adapter_files import AdapterFiles, forget_auto_mapping
from ggez_hub.registry.contribution.card_draft import adapts_of, declared_licence, summary_of
from ggez_hub.registry.contribution.proposal import (
    candidate,
    claimed,
    own_card,
    parcel_of,
    push,
    refuse_second_card,
    register,
)
from ggez_hub.registry.publication.adapter import check_parcel, publish, read_parcel
from ggez_hub.registry.publication.result import Published
from ggez_hub.registry.request import require_repository
from ggez_hub.registry.trust.signing import SigningKey


@click.command("contribute")
@click.argument("source", metavar="FILE|FOLDER|REPO")
@description_options
@click.option("--repo", metavar="ORG/NAME", help="Where a file is pushed to.")
@click.option("--private", is_flag=True, help="Make that repository private, if it is made.")
@click.option("--print", "print_only", is_flag=True, help="Send nothing; print what to do.")
@click.option(
    "--drop-auto-mapping",
    is_flag=True,
    help="First set auto_mapping to null in the folder's adapter_config.json: PEFT writes it where "
    "no task type was named.",
)
@hub_option
@output_options
def contribute_command(
    source: str,
    description: Description,
    repo: str | None,
    private: bool,
    print_only: bool,
    drop_auto_mapping: bool,
    hub: str,
    out: Output,
) -> None:
    """Register an adapter: from a file to a pull request.

    Reads the metadata of the adapter's files, asks for what is missing (five questions at most, or
    options), writes a card of level declared, pushes a file or folder to your namespace, and opens
    a pull request at the index. A repository on the hub is left unchanged, whoever owns it. Run it
    again after an interruption: nothing is done twice.
    """
    with connect(hub, quiet=out.quiet) as server:
        if drop_auto_mapping:
            out.note(f"auto_mapping is null now in {forget_auto_mapping(Path(source))}")
        files = description.files(source, server)
        if files.at is not None and (repo is not None or private):
            raise UsageProblem(
                f"{'--private' if repo is None else '--repo'} is for a file or a folder",
                f"{source} is a repository already.",
            )
        document = own_card(files, server)
        if document is None:
            document = _drafted(description, files, server)
            note_other_base(document, out)
        else:
            _refuse_other(description, document, source)
        account = server.account()
        send = account is not None and not print_only
        has_index = server.exists(INDEX_REPO, "dataset")
        if send and not has_index:
            raise GgezError(
                f"{server.endpoint} has no index ({INDEX_REPO}) to propose the adapter to: nothing "
                "was sent",
                "Run it again with --print: it prints the card, and what can be done with it.",
            )
        contributor = account or "unknown"
        target = repo or f"{account or 'YOUR-NAME'}/{files.name}"
        if files.at is not None:
            target = files.at.repo
        document = claimed(document, target.partition("/")[0], contributor)
        if has_index:
            refuse_second_card(document, target, server)
        pushed = None
        if files.at is not None:
            location = Location(repo=files.at.repo, revision=files.at.revision)
        elif send:
            pushed = push(document, files, server, target, private=private)
            location = Location(repo=target, revision=pushed.revision)
        else:
            check_parcel(parcel_of(document, files), server, target)
            given = {
                "region": document.card.region,
                "base": document.card.base.repo,
                "license": document.license,
                **{name: value for name, value in vars(description).items() if value is not None},
                "repo": repo,
            }
            options = {f"--{name}": value for name, value in given.items()}
            again = command_line("contribute", {"": source, **options, "--print": None})
            again = again if has_index else ""
            _print_push(again, target, document, server, out)
            return
        _propose(document, location, pushed, server, out, send=send)


def _refuse_other(description: Description, document: CardDocument, source: str) -> None:
    """Raise UsageProblem for options that say something else than the adapter's own card does."""
    card = document.card
    base = (
        card.base.repo
        if "@" not in (description.base or "")
        else (f"{card.base.repo}@{card.base.revision}")
    )
    region = find_region(description.region).id if description.region else None
    told = {
        "region": (region, card.region),
        "base": (description.base, base),
        "license": (description.license, document.license),
        "adapts": (description.adapts, _joined(card.adapts)),
        "summary": (description.summary, card.summary.get("en")),
        "languages": (description.languages, _joined(card.languages)),
        "family": (description.family, card.family),
        "kind": (description.kind, card.kind),
    }
    if other := [
        f"--{k} (its card: {own})" for k, (given, own) in told.items() if given not in {None, own}
    ]:
        raise UsageProblem(
            f"{source} has a card of its own, which says something else: {', '.join(other)}",
            "Leave the options out, or change the card first.",
        )


def _joined(values: Sequence[str] | str) -> str:
    return values if isinstance(values, str) else ",".join(values)


def _drafted(description: Description, files: AdapterFiles, hub: Hub) -> CardDocument:
    """The card, from the files' metadata and what a person is asked for."""
    told, license_id = files.metadata, declared_licence(files)
    if description.base is None and told.base:
        description = replace(description, base=told.base)
    if description.license is None and license_id != "unknown":
        description = replace(description, license=license_id)
    description = complete(description, ("region", "base", "license"), base=told.likely_base)
    base, region = description.find_base(hub), find_region(description.region or "")
    optional = ("summary",) if adapts_of(files, base.family) else ("adapts", "summary")
    summary = summary_of(files, base, region.name)
    return complete(description, (), optional, adapts="unknown", summary=summary).draft(files, base)


def _propose(
    document: CardDocument,
    location: Location,
    pushed: Published | None,
    hub: Hub,
    out: Output,
    *,
    send: bool,
) -> None:
    found = candidate(document, location, hub)
    proposal = register(found, hub) if send else None
    # Without a pull request stdout is the card alone, to be redirected.
    say = out.note if proposal is None else out.line
    state = "left as it is"
    if pushed is not None:
        state = f"pushed as {pushed.tag}" if pushed.changed else "there already"
    say(f"adapter  {location.repo} @ {location.revision[:12]}, {state}")
    say(f"card     {found.path}")
    if proposal is not None:
        out.line(f"{proposal.state}: {proposal.url}")
    else:
        out.note(
            f"Nothing was proposed. Save what follows as {found.path} in a fork of the ggez-hub "
            "repository, commit it, and open a pull request."
        )
        out.line(found.text)
    out.document(
        {
            "repo": location.repo,
            "revision": location.revision,
            "tag": pushed.tag if pushed else None,
            "card_path": found.path,
            "card": found.text,
            "state": proposal.state if proposal else "printed",
            "pull_request": proposal.url if proposal else None,
        }
    )


def _sign_in(hub: Hub) -> str:
    if hub.endpoint == constants.ENDPOINT:
        return "hf auth login"
    return f"export HF_ENDPOINT={hub.endpoint} HF_TOKEN=hf_...   # a token of that hub"


def _print_push(again: str, target: str, document: CardDocument, hub: Hub, out: Output) -> None:
    """How to send a file that was not pushed; `again` is the command for a hub with an index."""
    text = render_card(document)
    out.note("Nothing was sent. The card below is good, and `pull` would take the adapter.")
    if again:
        # A token goes to the hub of HF_ENDPOINT alone.
        sign_in = "" if hub.token else f"  {_sign_in(hub)}\n"
        out.note(f"To push the adapter and propose the card:\n{sign_in}  {again}")
    else:
        out.note(f"{hub.endpoint} has no index ({INDEX_REPO}) to propose it to.")
    out.note(
        "By hand: save the card as README.md beside the adapter, run\n"
        f"  {command_line('publish', {'': 'FOLDER', '--repo': target})}\n"
        f"  {command_line('contribute', {'': target, '--print': True})}"
    )
    out.line(text)
    out.document(
        {
            "repo": target,
            "revision": None,
            "tag": None,
            "card_path": None,
            "card": text,
            "state": "printed",
            "pull_request": None,
        }
    )


@click.command("publish")
@click.argument("folder", type=FOLDER)
@click.option("--repo", required=True, metavar="ORG/NAME", help="The repository; made if missing.")
@click.option("--pr", is_flag=True, help="Open a pull request there instead of committing.")
@click.option("--private", is_flag=True, help="Make the repository private, if it is made.")
@click.option(
    "--include", multiple=True, metavar="PATTERN", help="Further files, as training.json."
)
@signing_option
@hub_option
@output_options
def publish_command(
    folder: Path,
    repo: str,
    pr: bool,
    private: bool,
    include: tuple[str, ...],
    by: SigningKey | None,
    hub: str,
    out: Output,
) -> None:
    """Publish an adapter's folder to a repository on the hub.

    Its card and the files that the card records are checked as `pull` will check them, and arrive
    in one commit with a version tag; repeated, nothing is sent twice.
    """
    require_repository(repo)
    parcel = read_parcel(folder, include)
    with connect(hub, quiet=out.quiet) as server:
        done = publish(parcel, server, repo, private=private, pr=pr, by=by)
        has_index = server.exists(INDEX_REPO, "dataset")
    if parcel.left_out:
        out.line(f"left out: {', '.join(parcel.left_out)} (--include takes more)")
    if done.proposal is not None:
        out.line(f"{done.proposal.state}: {done.proposal.url}")
    else:
        what = "unchanged" if not done.changed else f"sent {', '.join(done.changed)}"
        out.line(f"{done.repo} @ {done.revision[:12]} is {done.tag}: {what}")
        if has_index:
            out.line(f"Register it: {command_line('contribute', {'': done.repo, '--repo': None})}")
    out.document(
        {
            "repo": done.repo,
            "revision": done.revision,
            "tag": done.tag,
            "changed": list(done.changed),
            "left_out": list(parcel.left_out),
            "pull_request": done.proposal.url if done.proposal else None,
        }
    )
