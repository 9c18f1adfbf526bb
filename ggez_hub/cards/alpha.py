"""alpha as a card records it: derived from a region, never asked."""

from __future__ import annotations

from ggez_hub.cards.schema import AlphaRecord
from ggez_hub.regions import Alpha


def alpha_record(factor: Alpha) -> AlphaRecord:
    """The record of a globalisation factor, with its provenance."""
    return AlphaRecord(
        value=factor.value,
        provenance=factor.provenance,
        # A user's own value has neither series nor release nor year.
        series=factor.series or "user",
        release=factor.release or "user",
        year=factor.year or 0,
        members=list(factor.members) or [factor.region],
        missing=list(factor.missing),
        fallback=factor.fallback,
    )
