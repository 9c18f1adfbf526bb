"""From a request to a resolution: by rule, with a reason for every candidate that is not taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ggez_hub.cards import AdapterCard, AlphaRecord, CardDocument, alpha_record
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.evaluation.selection import NoCurve, Trade, trade
from ggez_hub.families import get_family
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.regions import Alpha, Region, alpha, fallback_chain, find_region
from ggez_hub.registry.entries import Entry, Listing
from ggez_hub.registry.forms import get_form
from ggez_hub.registry.index import CARD_NAME, accepted_entries, live_entries
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolution import (
    ChosenBeta,
    PinnedAdapter,
    PinnedFile,
    PinnedRepo,
    Rejected,
    Resolution,
)
from ggez_hub.registry.vetting import NotFit, vet_adapter, vet_base


class NoAdapter(GgezError):
    """Nothing on the hub serves the region."""


class SeveralFamilies(UsageProblem):
    """Adapters of more than one family serve the region; the choice is the user's."""


@dataclass(frozen=True)
class Resolved:
    """A resolution with the card that it rests on."""

    resolution: Resolution
    document: CardDocument


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
        reason = _unsuited(entry, request, chain)
        if reason is None:
            candidates.append(entry)
        else:
            rejected.append(_rejection(entry, reason))
    given = request.alpha
    factor = alpha_record(alpha(chain[0]) if given is None else Alpha.from_user(given, chain[0]))
    for entry in sorted(candidates, key=lambda e: _order(e, chain, factor.value)):
        try:
            resolution = _pin(entry, request, hub, chain[0], factor)
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
        return Resolved(resolution.model_copy(update={"rejected": tuple(rejected)}), entry.document)
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
                reason=_serves(group.region, chain),
            )
        )
    return unread


def _serves(region: str, chain: Sequence[Region]) -> str:
    return f"serves {region}, which is not in {' > '.join(r.id for r in chain)}"


def _unsuited(entry: Entry, request: Request, chain: Sequence[Region]) -> str | None:
    """Why a card alone rules its adapter out, or None."""
    seen = entry.summary
    if seen.region not in [region.id for region in chain]:
        return _serves(seen.region, chain)
    if request.family is not None and seen.family != request.family:
        return f"is of the family {seen.family}"
    if seen.state != "active":
        return f"is {seen.state}: {seen.reason or 'no reason given'}"
    if seen.kind != "lora":
        return f"is of the kind {seen.kind}, which this version does not merge"
    if seen.license == "unknown":
        return "has no known licence"
    trusted = request.trust.split(",")
    owner = entry.repo.partition("/")[0]
    if not entry.accepted and request.trust != "any" and owner not in trusted:
        return f"is not in the curated index, and {owner} is not trusted (--trust)"
    return None


def _order(entry: Entry, chain: Sequence[Region], alpha: float) -> tuple[int, float, str]:
    """Nearer region first; then the measured GRP, the best first; then the name."""
    served = entry.summary.region
    distance = [region.id for region in chain].index(served)
    try:
        parity = -trade(entry.ranking, "validation", alpha, chain[0].id, served).chosen.grp
    except NoCurve:
        parity = 0.0
    return distance, parity, entry.repo


def _trade(card: AdapterCard, region: str, alpha: float) -> Trade:
    if card.curve == "unknown":
        raise NoCurve("the card holds no curve", "Give a beta with --beta.")
    return trade(card.curve, "validation", alpha, region, card.region)


def _pin(
    entry: Entry, request: Request, hub: Hub, region: Region, factor: AlphaRecord
) -> Resolution:
    card = entry.document.card
    beta = _beta(card, request, region, factor.value)
    adapter = hub.at_commit(entry.repo, entry.revision)
    adapter_files = vet_adapter(adapter, card, hub)
    base_at = _base(card, request, hub)
    base_files = vet_base(base_at, card)
    return Resolution(
        region=region.id,
        family=card.family,
        method=request.method,
        form=request.form,
        alpha=factor,
        base=_pinned(base_at, base_files, _license_of(hub, base_at)),
        adapters=(
            PinnedAdapter(
                source=_pinned(adapter, adapter_files, entry.document.license),
                region=card.region,
                kind=card.kind,
                beta=beta,
                card=entry.card,
            ),
        ),
    )


def _base(card: AdapterCard, request: Request, hub: Hub) -> RepoAtCommit:
    if request.base is None:
        return hub.at_commit(card.base.repo, card.base.revision)
    repo, _, revision = request.base.partition("@")
    return hub.at_commit(repo, revision or "main")


def _beta(card: AdapterCard, request: Request, region: Region, alpha: float) -> ChosenBeta:
    if request.beta is not None:
        return ChosenBeta(value=request.beta, why="given", reason="given with --beta")
    try:
        seen = _trade(card, region.id, alpha)
    except NoCurve as problem:
        raise NotFit(f"gives no beta: {problem.message} (give one with --beta)") from problem
    chosen, best = seen.chosen, seen.best
    reason = (
        f"the smallest beta within one standard error of the best GRP on validation "
        f"({chosen.grp:.2f} at {chosen.beta:g}; the best is {best.grp:.2f} +- {best.se:.2f} at "
        f"{best.beta:g}), by {seen.metric} on the items of {seen.region}"
    )
    return ChosenBeta(value=chosen.beta, why="selected", region=seen.region, reason=reason)


def _pinned(at: RepoAtCommit, files: Sequence[PinnedFile], license_id: str) -> PinnedRepo:
    weights = {f.path: f.sha256 for f in files if f.sha256 and f.path.endswith(".safetensors")}
    return PinnedRepo(
        repo=at.repo,
        revision=at.revision,
        license=license_id,
        gated=at.gated,
        weights=weights,
        files=tuple(files),
    )


def _license_of(hub: Hub, at: RepoAtCommit) -> str:
    from huggingface_hub import ModelCard

    if at.file(CARD_NAME) is None:
        return "unknown"
    return str(
        ModelCard(hub.read_text(at.repo, at.revision, CARD_NAME)).data.get("license") or "unknown"
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
