"""From a candidate to pinned inputs: commits, files and sha256s, beta, the base that it fits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from ggez_hub.cards import AdapterCard
from ggez_hub.cards.readme import license_of
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.hub.sparse_copy import Tensors, shapes_digest, tensors
from ggez_hub.merging.betas_by_part import BetasByPart
from ggez_hub.merging.deltas import WeightIndex
from ggez_hub.parity.beta_choice import Choice, choose, choose_for
from ggez_hub.parity.betas import betas_of
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.policy import Policy
from ggez_hub.regions import Region
from ggez_hub.registry.file_checks import (
    NotFit,
    base_weights,
    vet_adapter,
    vet_weights,
    weights_listed,
)
from ggez_hub.registry.index.entries import IndexEntry
from ggez_hub.registry.repositories import Repositories
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolution import (
    ChosenBeta,
    FitsBy,
    PinnedAdapter,
    PinnedFile,
    PinnedRepo,
    ResolvedParts,
)
from ggez_hub.registry.resolver.composition import JointMeasurement
from ggez_hub.registry.trust.checks import signer_of
from ggez_hub.safetensors_header import BadWeights

SHOWN = 3


def pin_adapter(
    repositories: Repositories, entry: IndexEntry, chosen: ChosenBeta | None
) -> PinnedAdapter:
    """An adapter with its beta, None for a model that is taken as it is; raises NotFit."""
    card = entry.document.card
    at = repositories.at(entry.repo, entry.revision)
    files = vet_adapter(at, card, repositories.hub)
    tag = repositories.tag_of(entry.repo, entry.asked_by)
    source = _pinned(at, files, entry.document.license, tag)
    signer = signer_of(repositories.hub, at, {file.path: file.sha256 for file in files})
    return PinnedAdapter(
        source=source.model_copy(update={"signer": signer}),
        region=card.region,
        kind=card.kind,
        beta=chosen,
        card=entry.card,
    )


def base_place(card: AdapterCard, request: Request) -> tuple[str, str]:
    """The repository and the revision of the base that was requested, or of that of a card."""
    repo, _, revision = (request.base or f"{card.base.repo}@{card.base.revision}").partition("@")
    return repo, revision


def pin_base(
    cards: Sequence[AdapterCard], request: Request, repositories: Repositories
) -> tuple[PinnedRepo, FitsBy]:
    """The base that all cards fit, that of the first or the requested one, and by what they fit it.

    It fits by its weights, or with `allow_shape_match` by tensor names, dtypes and shapes. Raises
    NotFit.
    """
    repo, revision = base_place(cards[0], request)
    at = repositories.at(repo, revision or "main")
    fits: FitsBy = "weights"
    files: tuple[PinnedFile, ...] = ()
    for card in cards:
        try:
            files = vet_weights(at, _fitting(card, repositories))
        except NotFit as problem:
            if not request.allow_shape_match:
                hint = " (--allow-shape-match compares shapes only)"
                hint = "" if card.kind == "task_vector" else hint
                raise NotFit(f"{problem.message}{hint}") from problem
            files = _by_shape(at, card, repositories)
            fits = "shape"
    tag = repositories.tag_of(repo, revision) if request.base else None
    return _pinned(at, files, license_of(at.front_matter), tag), fits


def _fitting(card: AdapterCard, repositories: Repositories) -> dict[str, str]:
    if card.base.weights != UNKNOWN:
        return dict(card.base.weights)
    return base_weights(repositories.at(card.base.repo, card.base.revision), card, repositories.hub)


def _by_shape(
    at: RepoAtCommit, card: AdapterCard, repositories: Repositories
) -> tuple[PinnedFile, ...]:
    """The files of a base whose tensors have the names, dtypes and shapes of the card's own."""
    if card.kind == "task_vector":
        raise NotFit("is a task vector, which fits the very weights that it was taken from")
    listed = weights_listed(at, card.family, repositories.hub)
    try:
        others = tensors(repositories.hub, at, listed)
        if shapes_digest(others) == card.base.shapes:
            return vet_weights(at, listed)
        # What differs is found by comparison with the card's own base, which has to exist still.
        origin = repositories.at(card.base.repo, card.base.revision)
        fitting = _fitting(card, repositories)
        vet_weights(origin, fitting)
        own = tensors(repositories.hub, origin, fitting)
    except BadWeights as problem:
        raise NotFit(f"cannot be compared by shape: {problem.message}") from problem
    if found := _differences(own, others):
        raise NotFit(f"does not fit {at.repo} by shape either: {'; '.join(found)}")
    return vet_weights(at, listed)


def _differences(own: Tensors, others: Tensors) -> list[str]:
    found = []
    for what, names in (
        ("lacks", own.keys() - others.keys()),
        ("has beside them", others.keys() - own.keys()),
    ):
        if names:
            found.append(f"it {what} {', '.join(sorted(names)[:SHOWN])} ({len(names)})")
    both = sorted(name for name in own.keys() & others.keys() if own[name] != others[name])
    found += [f"{name} is {others[name]}, not {own[name]}" for name in both[:SHOWN]]
    return found


def chosen_beta(
    card: AdapterCard, region: Region, alpha: float, given: float | None, policy: Policy | None
) -> ChosenBeta:
    """The given beta, or else the one that the policy chooses on the card's curve.

    The policy is the card's own unless another is asked for. Raises NotFit.
    """
    if given is not None:
        return ChosenBeta(value=given, why="given", reason="given with --beta")
    if not card.pinned and card.curve != UNKNOWN:
        raise NotFit(
            "gives no beta: its curve is of bytes that its card does not record (give --beta)"
        )
    try:
        chosen = choose_for(card, region=region.id, alpha=alpha, policy=policy)
    except NoCurve as problem:
        raise NotFit(f"gives no beta: {problem.message} ({problem.hint})") from problem
    return _chosen(chosen.beta, "selected", chosen)


def chosen_together(
    together: JointMeasurement, alpha: float, policy: Policy | None
) -> tuple[ChosenBeta, ...]:
    """The betas that a joint curve chooses, in the order in which its adapters were requested.

    Raises NoCurve.
    """
    own = policy or Policy.parse(together.joint.policy)
    chosen = choose(together.curve("validation"), alpha, own)
    return tuple(_chosen(beta, "jointly", chosen) for beta in betas_of(chosen.point))


def _chosen(beta: float, why: Literal["selected", "jointly"], chosen: Choice) -> ChosenBeta:
    return ChosenBeta(
        value=beta,
        why=why,
        policy=str(chosen.policy),
        region=chosen.curve.region,
        reason=chosen.reason,
    )


def _pinned(
    at: RepoAtCommit, files: Sequence[PinnedFile], license_id: str, tag: str | None
) -> PinnedRepo:
    weights = {f.path: f.sha256 for f in files if f.sha256 and f.path.endswith(".safetensors")}
    return PinnedRepo(
        repo=at.repo,
        revision=at.revision,
        license=license_id,
        gated=at.gated,
        weights=weights,
        files=tuple(files),
        tag=tag,
    )


def pin_parts(
    adapters: tuple[PinnedAdapter, ...],
    parts: Sequence[BetasByPart | None],
    base: PinnedRepo,
    hub: Hub,
) -> tuple[PinnedAdapter, ...]:
    """The adapters with the betas that their parts come to on the tensors of the base.

    Of the base's weights the headers are read. Raises UsageProblem, MissingExtra, BadWeights, and what
    the client raises.
    """
    if not any(parts):
        return adapters
    names = _tensor_names(base, hub)
    return tuple(
        adapter
        if own is None or adapter.beta is None
        else adapter.model_copy(update={"parts": ResolvedParts.of(own, names, adapter.beta.value)})
        for adapter, own in zip(adapters, parts, strict=True)
    )


def _tensor_names(base: PinnedRepo, hub: Hub) -> Collection[str]:
    files = [file for file in base.files if file.path in base.weights]
    if not base.missing_bytes(hub, files):
        return WeightIndex(base.fetch(hub, files), tuple(base.weights))
    return tensors(hub, base.listing, base.weights)
