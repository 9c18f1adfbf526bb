"""Whether an adapter fits its base: names, shapes, and a merge, from the headers of both on the hub."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ggez_hub.automation.trial import Trial, try_merge
from ggez_hub.cards import AdapterCard
from ggez_hub.errors import GgezError, MissingExtra
from ggez_hub.families import get_family
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.hub.outline import outline
from ggez_hub.merging.adapters import open_delta
from ggez_hub.merging.deltas import WeightIndex
from ggez_hub.registry.kinds import get_kind
from ggez_hub.registry.resolution import PinnedFile
from ggez_hub.registry.resolving.vetting import vet_adapter, vet_base


class Misfit(GgezError):
    """The adapter of a card cannot be merged with its base."""


def fit(card: AdapterCard, hub: Hub, *, merges: bool) -> Trial | None:
    """Open the adapter of a card that was vetted as a merge opens it, and try a merge if `merges`.

    Over files whose weights are holes: kilobytes are fetched of each repository. None if nothing was
    merged: what is taken as it is has no merge. Raises Misfit, MissingExtra, and what the hub raises.
    """
    if not get_kind(card.kind).combined:
        return None
    assert card.adapter is not None  # noqa: S101 - check_card has asked for it
    adapter = hub.at_commit(card.adapter.repo, card.adapter.revision)
    base = hub.at_commit(card.base.repo, card.base.revision)
    base_files = vet_base(base, card, hub)
    adapter, base = _only(adapter, vet_adapter(adapter, card, hub)), _only(base, base_files)
    digests = {file.path: file.sha256 for file in base_files if file.sha256}
    family = get_family(card.family)
    with (
        outline(hub, adapter, headers=True, shards=True) as source,
        outline(hub, base, headers=True, shards=True) as folder,
    ):
        try:
            index = WeightIndex(folder, family.layout(folder).weights, digests)
            delta = open_delta(source, family, index)
            return try_merge(source, family, index, delta.touched) if merges else None
        except MissingExtra:
            raise
        except GgezError as problem:
            said = problem.message
            for place, at in ((source, adapter), (folder, base)):
                said = said.replace(f"{place}/", "").replace(str(place), at.repo)
            raise Misfit(said) from problem


def _only(at: RepoAtCommit, files: Iterable[PinnedFile]) -> RepoAtCommit:
    """The repository as if it held nothing else: what else lies there is not looked at."""
    paths = {file.path for file in files}
    return replace(at, files=tuple(file for file in at.files if file.path in paths))
