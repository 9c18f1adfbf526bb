"""An adapter's card as `ggez-hub train` wrote it, with the packages that its rows were made of."""

from __future__ import annotations

from ggez_hub.cards import AdapterCard, read_card
from ggez_hub.cards.schema import DataFilter
from ggez_hub.registry.contributing.adapter_files import files_on_disk
from ggez_hub.world.card_of_record import record_of, sources_of
from ggez_hub.world.place import CARD, Place


def card_of_training(place: Place, name: str) -> AdapterCard:
    """The card but for what is measured."""
    folder = place.adapter(name)
    card = read_card(folder / CARD).card
    assert card.data_filter != "unknown"  # noqa: S101 - `train` writes it
    rows = DataFilter.model_validate(
        {
            **card.data_filter.model_dump(),
            "sources": sources_of(record_of(folder)),
            "rules": [
                "things that are drawn in all four styles and have a Thai name: no faces, gestures, signs or clock faces",
                "concepts whose pictures in the training styles the judge recognises",
                "96 of them by lot, none of which the base was trained on",
            ],
        }
    )
    return card.model_copy(
        update={
            "data_filter": rows,
            "files": dict(files_on_disk(folder).files),
            "published_by": "ggez-world",
            "registered_by": "ggez-world",
        }
    )
