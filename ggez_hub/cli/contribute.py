"""`contribute` and `publish`: an adapter to the hub, and to the registry by a pull request."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import click

from ggez_hub.cards import CardDocument, render_card
from ggez_hub.cards.schema import Location
from ggez_hub.cli.description import Description, complete, description_options
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import FOLDER
from ggez_hub.errors import UsageProblem
from ggez_hub.hub import Hub
from ggez_hub.hub_connection import connect
from ggez_hub.regions import find_region
from ggez_hub.registry.constants import INDEX_REPO
from ggez_hub.registry.contribution.adapter_files import AdapterFiles
from ggez_hub.registry.contribution.card_draft import adapts_of, declared_licence, summary_of
from ggez_hub.registry.contribution.proposal import candidate, claimed, own_card, push, register
from ggez_hub.registry.publication.adapter import publish, read_parcel
from ggez_hub.registry.publication.result import Published


@click.command("contribute")
@click.argument("source", metavar="FILE|FOLDER|REPO")
@description_options
@click.option("--repo", metavar="ORG/NAME", help="Where a file is pushed to.")
@click.option("--private", is_flag=True, help="Make that repository private, if it is made.")
@click.option("--print", "print_only", is_flag=True, help="Send nothing; print what to do.")
@hub_option
@output_options
def contribute_command(
    source: str,
    description: Description,
    repo: str | None,
    private: bool,
    print_only: bool,
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
        files = description.files(source, server)
        if files.at is not None and repo is not None:
            raise UsageProblem(
                "--repo is for a file or a folder", f"{source} is a repository already."
            )
        document = own_card(files, server) or _drafted(description, files, server)
        account = server.account()
        send = account is not None and not print_only
        contributor = account or "unknown"
        target = repo or f"{account or 'YOUR-NAME'}/{files.name}"
        if files.at is not None:
            target = files.at.repo
        document = claimed(document, target.partition("/")[0], contributor)
        pushed = None
        if files.at is not None:
            location = Location(repo=files.at.repo, revision=files.at.revision)
        elif send:
            pushed = push(document, files, server, target, private=private)
            location = Location(repo=target, revision=pushed.revision)
        else:
            _print_push(source, target, document, out)
            return
        _propose(document, location, pushed, server, out, send=send)


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
    there = hub.exists(INDEX_REPO, "dataset")
    proposal = register(found, hub) if send and there else None
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
        why = f"{hub.endpoint} has no index ({INDEX_REPO}). " if send else ""
        out.note(
            f"{why}Nothing was proposed. Save what follows as {found.path} in a fork of the ggez-hub "
            "repository, commit it, and open a pull request; or set HF_TOKEN and run this again."
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


def _print_push(source: str, target: str, document: CardDocument, out: Output) -> None:
    """How to send a file that was not pushed."""
    text = render_card(document)
    out.note(
        "Nothing was sent. The card below is good. To push the adapter and propose the card:\n"
        "  hf auth login\n"
        f"  ggez-hub contribute {shlex.quote(source)} --region {document.card.region} "
        f"--base {document.card.base.repo} --license {document.license}\n"
        f"By hand: save it as README.md beside the adapter, run `ggez-hub publish FOLDER --repo "
        f"{target}`, then `ggez-hub contribute {target} --print`."
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
@hub_option
@output_options
def publish_command(
    folder: Path,
    repo: str,
    pr: bool,
    private: bool,
    include: tuple[str, ...],
    hub: str,
    out: Output,
) -> None:
    """An adapter's folder to a repository on the hub.

    Its card and the files that the card records are checked as `pull` will check them, and arrive
    in one commit with a version tag; repeated, nothing is sent twice.
    """
    parcel = read_parcel(folder, include)
    with connect(hub, quiet=out.quiet) as server:
        done = publish(parcel, server, repo, private=private, pr=pr)
    if parcel.left_out:
        out.line(f"left out: {', '.join(parcel.left_out)} (--include takes more)")
    if done.proposal is not None:
        out.line(f"{done.proposal.state}: {done.proposal.url}")
    else:
        what = "unchanged" if not done.changed else f"sent {', '.join(done.changed)}"
        out.line(f"{done.repo} @ {done.revision[:12]} is {done.tag}: {what}")
        region = parcel.document.card.region
        out.line(f"Register it: ggez-hub contribute {done.repo} --region {region}")
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
