"""What a card alone says about whether its adapter serves a request."""

from __future__ import annotations

from collections.abc import Sequence

from ggez_hub.regions import Region
from ggez_hub.registry.index.entries import Entry
from ggez_hub.registry.kinds import get_kind
from ggez_hub.registry.request import Request


def unsuited(entry: Entry, request: Request, chain: Sequence[Region]) -> str | None:
    """Why a card rules its adapter out for `request`, or None."""
    card = entry.summary
    if card.region not in [region.id for region in chain]:
        return serves_other(card.region, chain)
    return unfit(entry, request)


def unfit(entry: Entry, request: Request) -> str | None:
    """Why a card rules its adapter out for `request` in any region, or None."""
    card = entry.summary
    if request.family is not None and card.family != request.family:
        return f"is of the family {card.family}"
    if card.state != "active":
        return f"is {card.standing}"
    if card.license == "unknown":
        return "has no known licence"
    trusted = request.trust.split(",")
    owner = entry.repo.partition("/")[0]
    if not entry.accepted and request.trust != "any" and owner not in trusted:
        return f"is not in the curated index, and {owner} is not trusted (--trust)"
    return _of_kind(card.kind, request)


def serves_other(region: str, chain: Sequence[Region]) -> str:
    """The reason against an adapter of a region that is not in the chain."""
    return f"serves {region}, which is not in {' > '.join(r.id for r in chain)}"


def _of_kind(name: str, request: Request) -> str | None:
    kind = get_kind(name)
    if request.form not in kind.forms:
        return f"{kind.lacking} (--as {request.form})"
    if kind.combined:
        return None
    asked = {
        "--beta": request.beta is not None,
        "--base": request.base is not None,
        "--method": request.method != Request.method,
    }
    if any(asked.values()):
        choices = ", ".join(name for name, given in asked.items() if given)
        return f"is {kind.noun}, taken as it is: {choices} cannot be chosen"
    return None
