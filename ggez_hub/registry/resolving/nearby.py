"""What to say where nothing serves a region: what was looked at, and what exists nearby."""

from __future__ import annotations

from collections.abc import Sequence

from ggez_hub.regions import Region, fallback_chain
from ggez_hub.regions.catalogue import catalogue
from ggez_hub.regions.confusion import language_reading
from ggez_hub.registry.index.entries import Listing
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolution import Rejected

# Of a card that cannot be read, the region is not known.
UNREAD_REGION = "?"
SHOWN_UNREAD, SHOWN_LINES, SHOWN_WIDTH = 5, 5, 300


def nothing_found(
    request: Request, chain: Sequence[Region], found: Listing, rejected: Sequence[Rejected]
) -> tuple[str, str]:
    """The message and the way out: another region that was meant, a wider one, what there is."""
    region, names = chain[0], [link.id for link in chain]
    near = [r for r in rejected if r.region in names]
    near += [r for r in rejected if r.region == UNREAD_REGION][:SHOWN_UNREAD]
    lines = "".join(f"\n  {r.repo} {_first_lines(r.reason)}" for r in near)
    what = f" of the family {request.family}" if request.family else ""
    here = {(e.summary.region, e.summary.family) for e in found.entries}
    there = {(e.region, e.family) for e in found.elsewhere}
    served = [f"{place} ({family})" for place, family in sorted(here | there)]
    hints = [
        _likely_other(request, region, {place for place, _ in here | there}),
        _wider(request, region, {place for place, _ in there}),
        f"This hub serves: {', '.join(served) or 'nothing'}.",
    ]
    return (
        f"no adapter{what} serves {region.id} ({region.name}); looked for: "
        f"{', '.join(names)}{lines}",
        " ".join(hint for hint in hints if hint),
    )


def _first_lines(reason: str) -> str:
    """A reason without its long tail: a card can be off in many places, and comes from a stranger."""
    lines = reason.splitlines() or [""]
    more = [f"    and {len(lines) - SHOWN_LINES} more lines"] if len(lines) > SHOWN_LINES else []
    return "\n".join([*(line[:SHOWN_WIDTH] for line in lines[:SHOWN_LINES]), *more])


def _likely_other(request: Request, region: Region, served: set[str]) -> str:
    """The country that was meant, if the code is that of a language: `vi` for Vietnam."""
    reading = language_reading(region, request.region)
    if reading is None:
        return ""
    for other in reading.official_in:
        chain = fallback_chain(other)
        if other != region.id and any(link.id in served for link in chain):
            return (
                f"Did you mean {other} ({catalogue()[other].name})? {reading.code} is the language "
                f"{reading.language}: ggez-hub pull --region {other}."
            )
    return ""


def _wider(request: Request, region: Region, served: set[str]) -> str:
    """That a wider region has something, where only the near ones were looked at."""
    if request.wide:
        return ""
    wider = [link.id for link in fallback_chain(region, wide=True) if link.id in served]
    return f"{wider[0]} is served: add --fallback wide." if wider else ""
