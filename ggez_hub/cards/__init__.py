"""The adapter card: a typed README.md of a regional adapter.

Importing the package imports nothing else; each name is loaded when it is first used. The schema
and the Hub's own reader of cards take a quarter of a second, which commands without cards save.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ggez_hub.cards.curve import CurveRow
    from ggez_hub.cards.document import (
        BadCard,
        CardDocument,
        parse_card,
        read_card,
        render_card,
        write_card,
    )
    from ggez_hub.cards.hub_metadata import hub_tags
    from ggez_hub.cards.schema import SCHEMA_VERSION, AdapterCard, AlphaRecord, alpha_record

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

_HOMES = {
    "alpha_record": "schema",
    "CurveRow": "curve",
    "hub_tags": "hub_metadata",
    **dict.fromkeys(
        ("BadCard", "CardDocument", "parse_card", "read_card", "render_card", "write_card"),
        "document",
    ),
    **dict.fromkeys(("SCHEMA_VERSION", "AdapterCard", "AlphaRecord"), "schema"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
