"""`card`: adapter cards, checked and described."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ggez_hub.cli.output import Output, output_options


@click.group("card", short_help="Adapter cards: validate, schema.")
def card_command() -> None:
    """Adapter cards: validate, schema."""


@card_command.command("validate")
@click.argument("cards", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@output_options
def validate(cards: tuple[Path, ...], out: Output) -> None:
    """Check cards against the schema, without a network: README.md files, or folders with one."""
    from ggez_hub.cards import BadCard, read_card

    found: dict[str, str] = {}
    for path in cards:
        place = path / "README.md" if path.is_dir() else path
        try:
            read_card(place)
        except BadCard as problem:
            found[str(place)] = problem.message
        else:
            out.line(f"{place}: good")
    out.document({"ok": not found, "problems": found})
    if found:
        raise BadCard("\n".join(found.values()), "`ggez-hub card schema` prints the schema.")


@card_command.command("schema")
@output_options
def schema(out: Output) -> None:
    """The JSON Schema of the `ggez:` block."""
    from ggez_hub.cards import AdapterCard

    text = AdapterCard.model_json_schema()
    out.line(json.dumps(text, indent=2, ensure_ascii=False))
    out.document(text)
