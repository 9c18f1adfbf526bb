"""Whether an adapter's tensors fit its base: names and shapes, from the headers of both on the hub."""

from __future__ import annotations

from dataclasses import replace

from ggez_hub.cards import AdapterCard
from ggez_hub.errors import GgezError, MissingExtra
from ggez_hub.families import get_family
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.hub.outline import outline
from ggez_hub.merging.adapters import open_delta
from ggez_hub.merging.deltas import WeightIndex
from ggez_hub.registry.kinds import get_kind
from ggez_hub.registry.resolving.vetting import vet_adapter, vet_base


def misfit(card: AdapterCard, hub: Hub) -> str | None:
    """Why the adapter of a card that was vetted cannot be merged with its base; None if it can.

    It is opened as a merge opens it, over files whose weights are holes: kilobytes are fetched of
    each. None too for what is taken as it is, or needs an extra to be told.
    """
    if not get_kind(card.kind).combined:
        return None
    assert card.adapter is not None  # noqa: S101 - check_card has asked for it
    adapter = hub.at_commit(card.adapter.repo, card.adapter.revision)
    base = hub.at_commit(card.base.repo, card.base.revision)
    adapter = _only(adapter, {file.path for file in vet_adapter(adapter, card, hub)})
    base = _only(base, {file.path for file in vet_base(base, card, hub)})
    family = get_family(card.family)
    try:
        with (
            outline(hub, adapter, headers=True, shards=True) as source,
            outline(hub, base, headers=True, shards=True) as folder,
        ):
            delta = open_delta(source, family, WeightIndex(folder, family.layout(folder).weights))
            return None if delta.touched else "changes no tensor of its base"
    except MissingExtra:
        return None
    except GgezError as problem:
        return problem.message.replace(f"{source}/", "").replace(str(source), adapter.repo)


def _only(at: RepoAtCommit, paths: set[str]) -> RepoAtCommit:
    """The repository as if it held nothing else: what else lies there is not looked at."""
    return replace(at, files=tuple(file for file in at.files if file.path in paths))
