"""The adapter card: what a regional adapter says of itself, as a typed README.md."""

from ggez_hub.cards.alpha import alpha_record
from ggez_hub.cards.document import (
    BadCard,
    CardDocument,
    parse_card,
    read_card,
    render_card,
    write_card,
)
from ggez_hub.cards.hub_keys import hub_tags
from ggez_hub.cards.schema import SCHEMA_VERSION, AdapterCard, AlphaRecord, CurveRow

__all__ = [
    "SCHEMA_VERSION",
    "AdapterCard",
    "AlphaRecord",
    "BadCard",
    "CardDocument",
    "CurveRow",
    "alpha_record",
    "hub_tags",
    "parse_card",
    "read_card",
    "render_card",
    "write_card",
]
