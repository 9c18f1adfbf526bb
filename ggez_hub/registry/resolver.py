"""From a request to a resolution: by rule, with a reason for every candidate that is not taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ggez_hub.cards import AlphaRecord, CardDocument, alpha_record
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.evaluation.selection import NoCurve, trade
from ggez_hub.families import get_family
from ggez_hub.hub import Hub
from ggez_hub.regions import Alpha, Region, alpha, fallback_chain, find_region
from ggez_hub.registry.entries import Entry, Listing
from ggez_hub.registry.forms import get_form
from ggez_hub.registry.index import accepted_entries, live_entries
from ggez_hub.registry.kinds import AS_IS_METHOD, get_kind
from ggez_hub.registry.licences import Obligations, obligations
from ggez_hub.registry.pinning import pin_adapter, pin_base
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolution import Rejected, Resolution
from ggez_hub.registry.suitability import serves_other, unsuited
from ggez_hub.registry.vetting import NotFit


class NoAdapter(GgezError):
    """Nothing on the hub serves the region."""


class SeveralFamilies(UsageProblem):
    """Adapters of more than one family serve the region; the choice is the user's."""


@dataclass(frozen=True)
class Resolved:
    """A resolution with the card that it rests on."""

    resolution: Resolution
    document: CardDocument
    obligations: Obligations


def resolve(request: Request, hub: Hub) -> Resolved:
    """The resolution of `request` on `hub`; the same inputs give the same answer.

    Raises UnknownRegion, NoAdapter with what exists nearby, SeveralFamilies, NoIndex, or what the
    hub's client raises.
    """
    chain = fallback_chain(find_region(request.region), wide=request.wide)
    get_form(request.form)
    if request.family is not None:
        get_family(request.family)
    regions = [region.id for region in chain]
    found = live_entries(hub, regions) if request.live else accepted_entries(hub, regions)
    rejected = _not_read(found, chain)
    candidates: list[Entry] = []
    for entry in found.entries:
        reason = unsuited(entry, request, chain)
        if reason is None:
            candidates.append(entry)
        else:
            rejected.append(_rejection(entry, reason))
    given = request.alpha
    factor = alpha_record(alpha(chain[0]) if given is None else Alpha.from_user(given, chain[0]))
    for entry in sorted(candidates, key=lambda e: _order(e, chain, factor.value)):
        try:
            resolution = _resolution(entry, request, hub, chain[0], factor)
            asked = obligations(resolution, [entry.document])
        except NotFit as problem:
            rejected.append(_rejection(entry, problem.message))
            continue
        others = [e for e in candidates if e is not entry]
        _one_family_only(entry, others, request)
        rejected += [
            _rejection(e, f"{entry.repo} comes first")
            for e in others
            if not any(r.repo == e.repo for r in rejected)
        ]
        rejected.sort(key=lambda r: (r.region, r.repo))
        final = resolution.model_copy(update={"rejected": tuple(rejected)})
        return Resolved(final, entry.document, asked)
    raise NoAdapter(*_nothing(request, chain[0], found, rejected))


def _not_read(found: Listing, chain: Sequence[Region]) -> list[Rejected]:
    """What is ruled out before a card is read: other regions, and cards that cannot be read."""
    unread = [Rejected(repo=e.repo, region="?", reason=e.reason) for e in found.unreadable]
    for group in found.elsewhere:
        others = f" and {group.count - 1:,} more" if group.count > 1 else ""
        unread.append(
            Rejected(
                repo=f"{group.repo}{others}",
                region=group.region,
                reason=serves_other(group.region, chain),
            )
        )
    return unread


def _order(entry: Entry, chain: Sequence[Region], alpha: float) -> tuple[int, float, str]:
    """Nearer region first; then the measured GRP, the best first; then the name."""
    served = entry.summary.region
    distance = [region.id for region in chain].index(served)
    try:
        parity = -trade(entry.ranking, "validation", alpha, chain[0].id, served).chosen.grp
    except NoCurve:
        parity = 0.0
    return distance, parity, entry.repo


def _resolution(
    entry: Entry, request: Request, hub: Hub, region: Region, factor: AlphaRecord
) -> Resolution:
    """The resolution that takes `entry`; raises NotFit."""
    card = entry.document.card
    combined = get_kind(card.kind).combined
    return Resolution(
        region=region.id,
        family=card.family,
        method=request.method if combined else AS_IS_METHOD,
        form=request.form,
        alpha=factor,
        adapters=(pin_adapter(entry, request, hub, region, factor.value),),
        base=pin_base(card, request, hub) if combined else None,
    )


def _one_family_only(taken: Entry, others: Sequence[Entry], request: Request) -> None:
    families = sorted({taken.summary.family, *(e.summary.family for e in others)})
    if request.family is None and len(families) > 1:
        raise SeveralFamilies(
            f"adapters of several families serve {request.region}: {', '.join(families)}",
            "Choose with --family: "
            + "; ".join(f"ggez-hub pull --region {request.region} --family {f}" for f in families),
        )


def _rejection(entry: Entry, reason: str) -> Rejected:
    return Rejected(repo=entry.repo, region=entry.summary.region, reason=reason)


def _nothing(
    request: Request, region: Region, found: Listing, rejected: Sequence[Rejected]
) -> tuple[str, str]:
    here = {(e.summary.region, e.summary.family) for e in found.entries}
    there = {(e.region, e.family) for e in found.elsewhere}
    served = [f"{place} ({family})" for place, family in sorted(here | there)]
    chain = [r.id for r in fallback_chain(region, wide=request.wide)]
    near = [r for r in rejected if r.region in chain]
    lines = "".join(f"\n  {r.repo} {r.reason}" for r in near)
    what = f" of the family {request.family}" if request.family else ""
    return (
        f"no adapter{what} serves {region.id} ({region.name}); looked for: "
        f"{', '.join(chain)}{lines}",
        f"This hub serves: {', '.join(served) or 'nothing'}.",
    )
