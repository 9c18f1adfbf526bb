"""`card`: adapter cards, begun, checked and described."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from ggez_hub.cards import AdapterCard, BadCard, CardDocument, parse_card, write_card
from ggez_hub.cards.document import CardText, has_block, read_text
from ggez_hub.cards.schema import Location
from ggez_hub.cli.description import Description, description_options, note_other_base
from ggez_hub.cli.group import Group
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import ANYTHING, FOLDER, NEW_FILE, out_option
from ggez_hub.errors import UsageProblem
from ggez_hub.hub import Hub
from ggez_hub.hub_connection import connect
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.policy import Policy
from ggez_hub.parity.policy_outcomes import policy_outcomes
from ggez_hub.quantities import counted
from ggez_hub.registry.contribution.measured_results import add_joint_results, add_sweep_results
from ggez_hub.registry.repositories import Repositories, problems_on_hub


@click.group("card", cls=Group)
def card_command() -> None:
    """Adapter cards: start them, check them, add scores."""


@card_command.command("init")
@click.argument("source", metavar="FOLDER|FILE|REPO")
@description_options
@out_option(
    "The card's file.  [default: FOLDER/README.md, or NAME.md here]", NEW_FILE, required=False
)
@click.option("--force", is_flag=True, help="Write over a card that is there.")
@hub_option
@output_options
def init(
    source: str, description: Description, target: Path | None, force: bool, hub: str, out: Output
) -> None:
    """Start the card of an adapter, at level declared.

    Commits and sha256s come from the hub's listing and the files themselves, alpha from the
    region; what is not given is `unknown`. Of a base, and of a REPO, no weights are downloaded.
    """
    description.require("region", "base")
    with connect(hub, quiet=out.quiet) as server:
        files = description.files(source, server)
        place = target or (Path(source) / "README.md" if Path(source).is_dir() else None)
        place = place or Path(f"{files.name}.md")
        _refuse_to_overwrite(place, force=force)
        document = description.draft(files, description.find_base(server))
    write_card(place, document)
    note_other_base(document, out)
    out.line(f"wrote {place}")
    for key in _unknown(document):
        out.line(f"  unknown: {key}")
    out.document({"card": str(place), "unknown": _unknown(document)})


@card_command.command("validate")
@click.argument("cards", nargs=-1, required=True, type=ANYTHING)
@click.option("--online", is_flag=True, help="Ask the hub for every commit, file and sha256.")
@click.option("--repo", metavar="REPO[@REVISION]", help="The adapter's repository.")
@hub_option
@output_options
def validate(
    cards: tuple[Path, ...], online: bool, repo: str | None, hub: str, out: Output
) -> None:
    """Check cards against the schema: README.md files, or folders with one.

    Without --online no network is used. With it, the adapter is looked for in --repo, or where an
    accepted card names it; for any other card only the base is checked.
    """
    if repo is not None and not online:
        raise UsageProblem("--repo is for --online", "Add --online.")
    if repo is not None and len(cards) > 1:
        raise UsageProblem("--repo is the repository of one card's adapter", "Name one card.")
    if not online:
        _validate(cards, None, repo, out)
        return

    with connect(hub, quiet=out.quiet) as server:
        _validate(cards, server, repo, out)


@card_command.command("measure")
@click.argument("results", type=FOLDER)
@click.argument("card", type=ANYTHING)
@output_options
def measure(results: Path, card: Path, out: Output) -> None:
    """Write a sweep to the card of its adapter, as its author's claim, with the answers beside it.

    RESULTS is the folder of a sweep of one adapter; CARD is the adapter's folder, or its README.md.
    `pull` chooses beta from it until the registry has measured the adapter. Rows that the registry
    measured stay.
    """
    noted = add_sweep_results(results, card)
    found = noted.card
    stay = f"; {counted(noted.kept, 'row')} of the registry stay" if noted.kept else ""
    out.line(
        f"{card}: {counted(noted.added, 'row')}, measured by the author, level {found.level}, policy "
        f"{found.policy}{stay}"
    )
    out.line(f"answers: {noted.answers}")
    outcomes = policy_outcomes(
        lambda split: ParityCurve.of(found.measured, split, found.region),
        found.alpha.value,
        Policy.parse(found.policy),
    )
    for outcome in outcomes:
        out.line(outcome.line())
    folder = card if card.is_dir() else card.parent
    out.line(f"Publish it: ggez-hub publish {shlex.quote(str(folder))} --repo ORG/NAME")
    out.document(
        {
            "card": str(card),
            "rows": noted.added,
            "registry_rows": noted.kept,
            "answers": str(noted.answers),
            "level": found.level,
            "policy": found.policy,
            "policies": {str(outcome.policy): outcome.as_dict() for outcome in outcomes},
        }
    )


@card_command.command("joint")
@click.argument("results", type=FOLDER)
@click.argument("cards", metavar="CARD...", nargs=-1, required=True, type=ANYTHING)
@output_options
def joint(results: Path, cards: tuple[Path, ...], out: Output) -> None:
    """Write a joint sweep to the cards of its adapters, with the answers beside them.

    RESULTS is the folder of a sweep over several adapters; CARD is an adapter's folder, or its
    README.md. Whoever composes these adapters then gets the betas that were best together.
    """
    found = [add_joint_results(results, card) for card in cards]
    for card, curve in zip(cards, found, strict=True):
        out.line(
            f"{card}: {counted(len(curve.curve), 'point')} of {counted(len(curve.adapters), 'adapter')}"
        )
    out.document({"cards": [str(card) for card in cards], "points": list(found[0].curve)})


@card_command.command("schema")
@output_options
def schema(out: Output) -> None:
    """The JSON Schema of the `ggez:` block."""
    text = AdapterCard.model_json_schema()
    out.line(json.dumps(text, indent=2, ensure_ascii=False))
    out.document(text)


def _validate(cards: tuple[Path, ...], hub: Hub | None, repo: str | None, out: Output) -> None:
    found: dict[str, str] = {}
    for path in cards:
        place = path / "README.md" if path.is_dir() else path
        if path.is_dir() and not place.is_file():
            raise UsageProblem(f"{path} holds no README.md", "`ggez-hub card init` starts a card.")
        try:
            checked = _check(place, hub, repo)
        except BadCard as problem:
            found[str(place)] = problem.message
        else:
            out.line(f"{place}: good{checked}")
            if hint := _looks_like_shares(place):
                out.note(f"hint: {place}: {hint}")
    out.document({"ok": not found, "problems": found})
    if found:
        raise BadCard("\n".join(found.values()), "`ggez-hub card schema` prints the schema.")


def _looks_like_shares(place: Path) -> str:
    """A hint where all scores of a card are from 0 to 1; empty for another card."""
    scores = [row.score for row in parse_card(read_text(place), str(place)).card.rows]
    if not scores or not 0 < max(scores) <= 1:
        return ""
    return "scores go from 0 to 100, and no score of the curve is above 1: are they shares?"


def _check(place: Path, hub: Hub | None, repo: str | None) -> str:
    """What was checked on the hub, for people; raises BadCard."""
    text = read_text(place)
    document = parse_card(text, str(place))
    if hub is None:
        return ""

    location = None
    if repo is not None:
        name, _, revision = repo.partition("@")
        location = Location(repo=name, revision=hub.at_commit(name, revision or "main").revision)
    if found := list(problems_on_hub(document.card, Repositories(hub), location)):
        raise CardText.of(text, str(place)).error(found)
    return "" if location or document.card.adapter else " (base checked; the adapter with --repo)"


def _refuse_to_overwrite(place: Path, *, force: bool) -> None:
    """Refuse to overwrite a card; a README without a `ggez:` block is completed."""
    if force or not place.exists():
        return

    if has_block(read_text(place)):
        raise BadCard(f"{place} is a card already", "Edit it, or write a new one with --force.")


def _unknown(document: CardDocument) -> list[str]:
    """The keys whose value is `unknown`."""
    block = document.card.model_dump(mode="json")
    keys = [f"ggez.{key}" for key, value in block.items() if value == "unknown"]
    return keys + (["license"] if document.license == "unknown" else [])
