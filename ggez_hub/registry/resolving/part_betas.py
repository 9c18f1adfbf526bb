"""Betas by part on a base that is pinned, before any of its weights are fetched."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.hub.headers import tensors
from ggez_hub.merging.betas_by_part import BetasByPart
from ggez_hub.merging.deltas import WeightIndex
from ggez_hub.registry.parts import ResolvedParts
from ggez_hub.registry.resolution import PinnedAdapter, PinnedRepo


def pin_parts(
    adapters: tuple[PinnedAdapter, ...],
    parts: Sequence[BetasByPart | None],
    base: PinnedRepo,
    hub: Hub,
) -> tuple[PinnedAdapter, ...]:
    """The adapters with the betas that their parts come to on the tensors of the base.

    Of the base's weights the headers are read. Raises BadParts, MissingExtra, BadWeights, and what
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
    """The tensors of a pinned base: from its files where they are in the cache, or from the hub."""
    files = tuple(file.as_hub_file() for file in base.files if file.path in base.weights)
    if not hub.missing_bytes(base.repo, base.revision, files):
        return WeightIndex(hub.fetch(base.repo, base.revision, files), tuple(base.weights))
    return tensors(hub, RepoAtCommit(base.repo, base.revision, files, "", base.gated), base.weights)
