"""From a candidate to pinned inputs: commits, files and sha256s, beta, the base that it fits."""

from __future__ import annotations

from collections.abc import Sequence

from ggez_hub.cards import AdapterCard
from ggez_hub.cards.document import license_of
from ggez_hub.evaluation.selection import NoCurve, Trade, trade
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.regions import Region
from ggez_hub.registry.entries import Entry
from ggez_hub.registry.kinds import get_kind
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolution import ChosenBeta, PinnedAdapter, PinnedFile, PinnedRepo
from ggez_hub.registry.vetting import NotFit, vet_adapter, vet_base


def pin_adapter(
    entry: Entry, request: Request, hub: Hub, region: Region, alpha: float
) -> PinnedAdapter:
    """An adapter with its beta for `region`, which is weighed by `alpha`; raises NotFit."""
    card = entry.document.card
    kind = get_kind(card.kind)
    beta = _beta(card, request, region, alpha) if kind.combined else None
    at = reach(hub, entry.repo, entry.revision)
    files = vet_adapter(at, card, hub)
    return PinnedAdapter(
        source=_pinned(at, files, entry.document.license),
        region=card.region,
        kind=card.kind,
        beta=beta,
        card=entry.card,
    )


def pin_base(card: AdapterCard, request: Request, hub: Hub) -> PinnedRepo:
    """The base that the card names, or that was asked for; raises NotFit."""
    repo, _, revision = (request.base or card.base.repo).partition("@")
    if request.base is None:
        revision = card.base.revision
    at = reach(hub, repo, revision or "main")
    return _pinned(at, vet_base(at, card), license_of(at.front_matter))


def curve_trade(card: AdapterCard, region: str, alpha: float) -> Trade:
    """The card's validation curve for `region`, weighed by `alpha`; raises NoCurve."""
    if card.curve == "unknown":
        raise NoCurve("the card holds no curve", "Give a beta with --beta.")
    return trade(card.curve, "validation", alpha, region, card.region)


def reach(hub: Hub, repo: str, revision: str) -> RepoAtCommit:
    """A repository at the commit that a card names; raises NotFit if either is gone."""
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return hub.at_commit(repo, revision)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError as error:
        raise NotFit(f"needs {repo}, which is gone or private") from error
    except RevisionNotFoundError as error:
        raise NotFit(f"needs {repo}@{revision[:12]}, a commit that is gone") from error


def _beta(card: AdapterCard, request: Request, region: Region, alpha: float) -> ChosenBeta:
    if request.beta is not None:
        return ChosenBeta(value=request.beta, why="given", reason="given with --beta")
    try:
        seen = curve_trade(card, region.id, alpha)
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
