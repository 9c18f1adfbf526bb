"""`bom`: the bill of materials of a pulled folder, a merge, or an adapter's card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ggez_hub.atomic_files import write_file
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import ANYTHING, NEW_FILE
from ggez_hub.errors import GgezError
from ggez_hub.hub_connection import connect
from ggez_hub.registry.constants import CARD_NAME


@click.command("bom")
@click.argument("place", metavar="DIR_OR_CARD", type=ANYTHING)
@click.option(
    "-o",
    "--output",
    type=NEW_FILE,
    default="bom.cdx.json",
    show_default=True,
    help="The file to write.",
)
@hub_option
@output_options
def bom_command(place: Path, output: Path, hub: str, out: Output) -> None:
    """Write a bill of materials as CycloneDX 1.6, from lock and card.

    Of a pulled folder (its adapters' cards are read from the hub, or its cache), of a merge of
    folders, or of an adapter's folder or card. Prints how complete it is by the published rules of
    OWASP's AIBOM generator, and which fields are missing. Nothing is invented.
    """
    from ggez_hub.registry.bill_of_materials.bill import bill_text
    from ggez_hub.registry.bill_of_materials.completeness import completeness

    bill = _bill(place, hub, out)
    found = completeness(bill)
    write_file(output, bill_text(bill))
    out.line(f"{output}: {found.score:g} of 100 by OWASP's rules")
    if found.missing:
        out.line(f"missing: {', '.join(found.missing)}")
    out.document({"file": str(output), "score": found.score, "missing": list(found.missing)})


def _bill(place: Path, hub: str, out: Output) -> dict[str, Any]:
    from ggez_hub.cards import read_card
    from ggez_hub.registry.bill_of_materials.bill import card_bill, lock_bill, merge_bill
    from ggez_hub.registry.index.entries import read_pinned_card
    from ggez_hub.registry.lock import MergeLock, one_lock_in, read_any_lock

    file = one_lock_in(place)
    with connect(hub, quiet=out.quiet) as server:
        if file is None:
            path = place if place.is_file() else place / CARD_NAME
            if not path.is_file():
                raise GgezError(
                    f"{place} holds neither a lock nor a card ({CARD_NAME})",
                    "Give a folder that `pull` or `merge` wrote, an adapter's folder, or its card.",
                )
            card = read_card(path)
            return card_bill(card, endpoint=server.endpoint)
        lock = read_any_lock(file)
        if isinstance(lock, MergeLock):
            return merge_bill(lock, server.endpoint)
        documents = [read_pinned_card(server, a.card) for a in lock.resolution.adapters]
        return lock_bill(lock, documents, endpoint=server.endpoint)
