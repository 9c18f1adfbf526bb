"""How the registry keeps a card: its place in the index, and the commit that it speaks for."""

from __future__ import annotations

import re

from ggez_hub.cards import CardDocument, render_card
from ggez_hub.cards.schema import Location

NOT_IN_NAMES = re.compile(r"[^a-z0-9._-]+")


def card_path(document: CardDocument, repo: str, *, with_owner: bool = False) -> str:
    """Where the index keeps a card: cards/<region>/<family>/<name>.md, in lower case.

    `with_owner` puts the owner before the name, where another adapter has the name already.
    """
    owner, _, name = repo.lower().partition("/")
    full = f"{owner}--{name}" if with_owner else name
    name = NOT_IN_NAMES.sub("-", full).lstrip("._-")[:90] or "adapter"
    return f"cards/{document.card.region}/{document.card.family}/{name}.md"


def located(document: CardDocument, location: Location) -> CardDocument:
    """The registry's copy of a card, which says where the adapter lies."""
    card = document.card.model_copy(update={"adapter": location})
    return CardDocument(card, document.front_matter, document.prose)


def accepted(document: CardDocument, repo: str, revision: str, *, recommended: bool = False) -> str:
    """The text of the registry's copy of a card; `recommended` is taken where a region is all that is asked."""
    place = Location(repo=repo, revision=revision, recommended=recommended)
    return render_card(located(document, place))
