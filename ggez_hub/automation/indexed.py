"""The cards that the index holds, with the curves that the registry measured."""

from __future__ import annotations

from ggez_hub.cards import AdapterCard, CardDocument, read_card
from ggez_hub.hub import Hub
from ggez_hub.hub.publishing import head_of
from ggez_hub.registry.places import INDEX_REPO

# What the registry adds to an accepted card. alpha is the accepted card's own: it moves by a pull
# request, without a new measurement.
MEASURED = frozenset({"curve", "level"})


def indexed_cards(hub: Hub) -> dict[str, CardDocument]:
    """The cards that the index holds, by path; none where there is no index yet."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        at = head_of(hub, INDEX_REPO, "dataset")
    except RepositoryNotFoundError:
        return {}
    files = [f for f in at.files if f.path.startswith("cards/") and f.path.endswith(".md")]
    if not files:
        return {}
    folder = hub.fetch(INDEX_REPO, at.revision, files, "dataset")
    return {file.path: read_card(folder / file.path) for file in files}


def with_measurement(accepted: CardDocument, indexed: CardDocument | None) -> CardDocument | None:
    """The accepted card with the curve that the index has of it; None if it was not measured.

    A card that says something else by now is another card.
    """
    if indexed is None or not _measured(indexed.card):
        return None
    apart = {*MEASURED, "alpha"}
    if indexed.card.model_dump(exclude=apart) != accepted.card.model_dump(exclude=apart):
        return None
    update = {key: getattr(indexed.card, key) for key in MEASURED}
    card = accepted.card.model_copy(update=update)
    return CardDocument(card, accepted.front_matter, accepted.prose)


def _measured(card: AdapterCard) -> bool:
    return card.curve != "unknown" and any(
        row.measured_by == "registry" for rows in card.curve.values() for row in rows.values()
    )
