"""From a request to a resolution: by rule, with a reason for every candidate that is not taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from ggez_hub.cards import AdapterCard, AlphaRecord, CardDocument, alpha_record
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.families import get_family
from ggez_hub.hub import Hub, NoAccess
from ggez_hub.merging.methods import Method, plugins_of
from ggez_hub.parity.policy import Policy
from ggez_hub.regions import Alpha, Region, alpha, fallback_chain, find_region
from ggez_hub.regions.text_language import switched_languages
from ggez_hub.registry.adapter_kinds import AS_IS_METHOD, get_kind
from ggez_hub.registry.file_checks import NotFit
from ggez_hub.registry.index.entries import IndexEntry, Listing
from ggez_hub.registry.index.search import known_entries, live_entries, named_entries
from ggez_hub.registry.licences import Obligations, obligations
from ggez_hub.registry.repositories import Repositories
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolution import ChosenBeta, FitsBy, PinnedRepo, Rejected, Resolution
from ggez_hub.registry.resolver.candidates import (
    UNREAD_REGION,
    CandidateOrder,
    RankedCandidate,
    nothing_found,
    serves_other,
    unfit,
)
from ggez_hub.registry.resolver.composition import check_composition, joint_measurement
from ggez_hub.registry.resolver.pins import (
    base_place,
    chosen_beta,
    chosen_together,
    pin_adapter,
    pin_base,
    pin_parts,
)
from ggez_hub.registry.result_forms import get_form

# What a switch was measured with.
AS_MEASURED = ChosenBeta(
    value=1.0, why="given", reason="the adapter as it is: a switch turns it on or off"
)


class NoAdapter(GgezError):
    """Nothing on the hub serves the region; `failed` are the candidates that could not be pinned."""

    failed: tuple[Rejected, ...] = ()


@dataclass(frozen=True)
class Resolved:
    """A resolution with the cards that it rests on, and what its licences ask.

    `shipped` says which index of the package the cards are from; empty for those of a hub.
    """

    resolution: Resolution
    documents: tuple[CardDocument, ...]
    obligations: Obligations
    shipped: str = ""


@dataclass(frozen=True)
class Resolver:
    """A request with what it is resolved against: a hub, the fallback chain and alpha."""

    request: Request
    repositories: Repositories
    chain: tuple[Region, ...]
    factor: AlphaRecord

    @classmethod
    def of(cls, request: Request, hub: Hub) -> Resolver:
        chain = fallback_chain(find_region(request.region), wide=request.wide)
        get_form(request.form)
        if request.family is not None:
            get_family(request.family)
        given = request.alpha
        factor = alpha(chain[0]) if given is None else Alpha.from_user(given, chain[0])
        return cls(request, Repositories(hub), chain, alpha_record(factor))

    @property
    def is_switch(self) -> bool:
        return get_form(self.request.form).is_switch

    def ask_for(self, entries: Iterable[IndexEntry]) -> None:
        """Ask the hub at once for what `take` needs of each; what is wrong, `take` finds."""
        places = []
        for entry in entries:
            places.append((entry.repo, entry.revision))
            with suppress(NotFit):
                card = entry.document.card
                if get_kind(card.kind).combined:
                    repo, revision = base_place(card, self.request)
                    places.append((repo, revision or "main"))
        self.repositories.ask_for(places)

    def take(self, entries: Sequence[IndexEntry]) -> Resolved:
        """The resolution of these adapters, whatever else there is; raises NotFit."""
        request = self.request
        documents = tuple(entry.document for entry in entries)
        cards = [document.card for document in documents]
        combined = get_kind(cards[0].kind).combined
        parts = request.parts_for(len(cards))
        if request.parts and not combined:
            raise UsageProblem(
                f"{entries[0].repo} is a merged model, taken as it is: it has no betas by part",
                "Leave out --betas, or name an adapter with --adapter.",
            )
        betas = self._betas(cards) if combined else [None] * len(cards)
        # Not before: one that gives no beta is not asked for.
        self.ask_for(entries)
        adapters = tuple(map(partial(pin_adapter, self.repositories), entries, betas))
        base: PinnedRepo | None = None
        fits_by: FitsBy = "weights"
        if combined:
            base, fits_by = pin_base(cards, request, self.repositories)
            adapters = pin_parts(adapters, parts, base, self.repositories.hub)
        method = str(Method.parse(request.method)) if combined else AS_IS_METHOD
        resolution = Resolution(
            region=self.chain[0].id,
            family=cards[0].family,
            method=method,
            form=request.form,
            alpha=self.factor,
            base=base,
            fits_by=fits_by,
            out_dtype=request.out_dtype,
            adapters=adapters,
            plugins=plugins_of(cards[0].family, method),
            languages=switched_languages(cards[0].languages, cards[0].region)
            if self.is_switch
            else (),
        )
        return Resolved(resolution, documents, obligations(resolution, documents))

    def _betas(self, cards: Sequence[AdapterCard]) -> Sequence[ChosenBeta | None]:
        """Given, or those that were best together, or else each as if its adapter were alone."""
        request, region, alpha = self.request, self.chain[0], self.factor.value
        given = request.betas(len(cards))
        policy = Policy.parse(request.policy) if request.policy else None
        if request.beta is None and self.is_switch:
            return [AS_MEASURED] * len(cards)
        # A joint curve is of one base: on other weights of its shape nothing was measured.
        joint = len(cards) > 1 and all(card.pinned for card in cards)
        if joint and request.beta is None and not request.allow_shape_match:
            together = joint_measurement(cards, region.id, alpha)
            if together is not None:
                return chosen_together(together, alpha, policy)
        return [
            chosen_beta(card, region, alpha, beta, policy)
            for card, beta in zip(cards, given, strict=True)
        ]


@dataclass(frozen=True)
class Survey:
    """What a hub has for a request: candidates in order, and the others with their reasons."""

    resolver: Resolver
    found: Listing
    order: CandidateOrder
    rejected: tuple[Rejected, ...]

    @classmethod
    def of(cls, resolver: Resolver, found: Listing) -> Survey:
        """What of `found` serves the request of `resolver`; only a tie by date asks the hub."""
        request, chain = resolver.request, resolver.chain
        regions = [region.id for region in chain]
        rejected = _not_read(found, chain)
        suited: list[IndexEntry] = []
        for entry in found.entries:
            region = entry.summary.region
            reason = unfit(entry, request)
            if region not in regions:
                reason = serves_other(region, chain)
            if reason is None:
                suited.append(entry)
            else:
                rejected.append(_rejection(entry, reason))
        dates_of = partial(_dates_of, resolver.repositories)
        order = CandidateOrder(tuple(suited), chain, resolver.factor.value, dates_of)
        return cls(resolver, found, order, tuple(rejected))

    def first(self, candidates: Iterable[RankedCandidate]) -> Resolved:
        """The first of them that can be pinned; raises NoAdapter with what exists nearby."""
        failed: dict[int, Rejected] = {}
        for candidate in candidates:
            entry = candidate.entry
            try:
                resolved = self.resolver.take([entry])
            except NotFit as problem:
                failed[id(entry)] = _rejection(entry, problem.message)
                continue
            except NoAccess as problem:
                reason = f"cannot be read: {problem.message}. {problem.hint}"
                failed[id(entry)] = _rejection(entry, reason)
                continue
            others = [
                failed.get(id(other)) or _rejection(other, reason)
                for other, reason in self.order.others(candidate)
            ]
            rejected = sorted((*self.rejected, *others), key=lambda r: (r.region, r.repo, r.reason))
            final = resolved.resolution.model_copy(update={"rejected": tuple(rejected)})
            return replace(resolved, resolution=final, shipped=self.found.shipped)
        raise self._nothing(failed.values())

    def _nothing(self, failed: Iterable[Rejected]) -> NoAdapter:
        tried = tuple(failed)
        rejected = [*self.rejected, *tried]
        problem = NoAdapter(
            *nothing_found(self.resolver.request, self.resolver.chain, self.found, rejected)
        )
        problem.failed = tried
        return problem


def resolve(request: Request, hub: Hub) -> Resolved:
    """The resolution of `request` on `hub`; the same inputs give the same answer.

    Raises UnknownRegion, NoAdapter with what exists nearby, UsageProblem, NoIndex, or what the
    hub's client raises.
    """
    if request.adapters:
        return _of_named(Resolver.of(request, hub))
    seen = survey(request, hub)
    return seen.first(seen.order)


def survey(request: Request, hub: Hub) -> Survey:
    """Everything that a hub has for a request that names no adapters; raises as `resolve` does."""
    resolver = Resolver.of(request, hub)
    regions = [region.id for region in resolver.chain]
    found = (
        live_entries(hub, regions, request.index)
        if request.live
        else known_entries(hub, request.index, regions)
    )
    return Survey.of(resolver, found)


def _dates_of(repositories: Repositories, entries: Sequence[IndexEntry]) -> list[str]:
    repositories.ask_for((e.repo, e.revision) for e in entries if e.summary.registered is None)
    return [_date_of(repositories, entry) for entry in entries]


def _date_of(repositories: Repositories, entry: IndexEntry) -> str:
    """The day on which an adapter was registered, or else committed; "" if it is gone."""
    if entry.summary.registered is not None:
        return entry.summary.registered
    try:
        return repositories.at(entry.repo, entry.revision).date[: len("2026-01-31")]
    except NotFit:
        return ""


def _of_named(resolver: Resolver) -> Resolved:
    request = resolver.request
    found = named_entries(resolver.repositories.hub, request.adapters, request.index)
    entries = found.entries
    for entry in entries:
        if reason := unfit(entry, request):
            raise NoAdapter(f"{entry.repo} {reason}")
    if len(entries) > 1:
        check_composition(entries, allow_overlap=request.allow_overlap)
    try:
        return replace(resolver.take(entries), shipped=found.shipped)
    except NotFit as problem:
        if len(entries) > 1:
            raise NoAdapter(f"the adapters cannot be composed: one {problem.message}") from problem
        raise NoAdapter(f"{entries[0].repo} {problem.message}") from problem


def _not_read(found: Listing, chain: Sequence[Region]) -> list[Rejected]:
    unread = [
        Rejected(repo=e.path, region=UNREAD_REGION, reason=e.reason) for e in found.unreadable
    ]
    for group in found.elsewhere:
        others = f" and {group.count - 1:,} more" if group.count > 1 else ""
        reason = serves_other(group.region, chain)
        unread.append(Rejected(repo=f"{group.repo}{others}", region=group.region, reason=reason))
    return unread


def _rejection(entry: IndexEntry, reason: str) -> Rejected:
    return Rejected(repo=entry.repo, region=entry.summary.region, reason=reason)
