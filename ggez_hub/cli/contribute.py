"""`contribute`: from an adapter to an opened pull request at the registry."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.description import Asking, Description, answered, description_options
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.errors import UsageProblem

if TYPE_CHECKING:
    from ggez_hub.cards import CardDocument
    from ggez_hub.cards.schema import Location
    from ggez_hub.hub import Hub
    from ggez_hub.registry.contribution.adapter_files import AdapterFiles
    from ggez_hub.registry.publication.adapter import Published


@click.command("contribute", short_help="Register an adapter: from a file to a pull request.")
@click.argument("source", metavar="FILE|FOLDER|REPO")
@description_options
@click.option("--repo", default=None, metavar="ORG/NAME", help="Where a file is pushed to.")
@click.option("--private", is_flag=True, help="Make that repository private, if it is made.")
@click.option("--print", "print_only", is_flag=True, help="Send nothing; say what to do.")
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
    """Register an adapter with the registry of regional adapters.

    Reads what the adapter's files say of themselves, asks for what is missing (five questions at
    most, or options), writes a card of level declared, pushes a file or folder to your namespace,
    and opens a pull request at the index. A repository on the hub is left as it is, whoever owns
    it. Run it again after an interruption: nothing is done twice.
    """
    from ggez_hub.hub_connection import connect

    with connect(hub, quiet=out.quiet) as server:
        _contribute(source, description, server, out, repo, private=private, send=not print_only)


def _contribute(
    source: str,
    description: Description,
    hub: Hub,
    out: Output,
    repo: str | None,
    *,
    private: bool,
    send: bool,
) -> None:
    from ggez_hub.cards.schema import Location
    from ggez_hub.registry.contribution.proposal import claimed, own_card, push

    files = description.files(source, hub)
    if files.at is not None and repo is not None:
        raise UsageProblem("--repo is for a file or a folder", f"{source} is a repository already.")
    document = own_card(files, hub)
    if document is None:
        document = _drafted(description, files, hub)
    contributor = hub.account()
    send = send and contributor is not None
    if files.at is not None:
        location = Location(repo=files.at.repo, revision=files.at.revision)
        document = claimed(document, files.at.repo.partition("/")[0], contributor or "unknown")
        _propose(document, location, None, hub, out, send=send)
        return
    target = repo or f"{contributor or 'YOUR-NAME'}/{files.name}"
    document = claimed(document, target.partition("/")[0], contributor or "unknown")
    if not send:
        _tell_push(source, target, document, hub, out)
        return
    pushed = push(document, files, hub, target, private=private)
    location = Location(repo=target, revision=pushed.revision)
    _propose(document, location, pushed, hub, out, send=send)


def _drafted(description: Description, files: AdapterFiles, hub: Hub) -> CardDocument:
    """The card, from what the files say and what a person is asked for."""
    from ggez_hub.regions import find_region
    from ggez_hub.registry.contribution.card_draft import adapts_of, declared_licence, summary_of

    told, license_id = files.told, declared_licence(files)
    if description.base is None and told.base:
        description = replace(description, base=told.base)
    if description.license is None and license_id != "unknown":
        description = replace(description, license=license_id)
    needed = Asking(("region", "base", "license"), likely={"base": told.likely_base})
    description = answered(description, needed)
    base, region = description.find_base(hub), find_region(description.region or "")
    welcome = ("summary",) if adapts_of(files, base.family) else ("adapts", "summary")
    likely = {"adapts": "unknown", "summary": summary_of(files, base, region.name)}
    return answered(description, Asking((), welcome, likely)).draft(files, base)


def _propose(
    document: CardDocument,
    location: Location,
    pushed: Published | None,
    hub: Hub,
    out: Output,
    *,
    send: bool,
) -> None:
    from ggez_hub.registry.constants import INDEX_REPO
    from ggez_hub.registry.contribution.proposal import candidate, register

    found = candidate(document, location, hub)
    there = hub.exists(INDEX_REPO, "dataset")
    proposal = register(found, hub) if send and there else None
    # What is printed instead of a pull request is the card alone, to be redirected.
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
        _tell_pull_request(found.path, found.text, why, out)
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


def _tell_pull_request(path: str, text: str, why: str, out: Output) -> None:
    """What to do on GitHub, where a command cannot do it."""
    out.note(
        f"{why}Nothing was proposed. Save what follows as {path} in a fork of the ggez-hub "
        "repository, commit it, and open a pull request; or set HF_TOKEN and run this again."
    )
    out.line(text)


def _tell_push(source: str, target: str, document: CardDocument, hub: Hub, out: Output) -> None:
    """What to do for a file that was not pushed."""
    from ggez_hub.cards import render_card

    text = render_card(document)
    steps = [
        "hf auth login",
        f"ggez-hub contribute {shlex.quote(source)} --region {document.card.region} "
        f"--base {document.card.base.repo} --license {document.license}",
    ]
    out.note(
        "Nothing was sent. The card below is good. To push the adapter and propose the card:\n"
        + "\n".join(f"  {step}" for step in steps)
        + f"\nBy hand: save it as README.md beside the adapter, run `ggez-hub publish FOLDER --repo "
        f"{target}`, then `ggez-hub contribute {target} --print`."
    )
    out.line(text)
    out.document({"repo": target, "revision": None, "tag": None, "card_path": None, "card": text,
                  "state": "printed", "pull_request": None})  # fmt: skip
