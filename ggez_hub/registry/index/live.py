"""Adapters by what their own repositories say: those that are named, and those found by tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ggez_hub.cards.hub_keys import TAG
from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub
from ggez_hub.registry.index.entries import Entry, Listing, Unreadable
from ggez_hub.registry.index.listing import NoIndex, accepted_entries, yanked_adapters
from ggez_hub.registry.index.reading import entry_of_text
from ggez_hub.registry.places import CARD_NAME


class NotThere(GgezError):
    """A repository that was asked for is no adapter."""


def asked_entries(hub: Hub, asked: Iterable[str]) -> list[Entry]:
    """The adapters of these repositories, each with `@REVISION` or without.

    They are the accepted ones, or what the repositories say of themselves at the revision (without
    one at `main`). Raises NotThere, and what the client raises.
    """
    named = [name.partition("@") for name in asked]
    try:
        listed = accepted_entries(hub, repos={repo for repo, _, _ in named}).entries
    except NoIndex:
        listed = ()
    accepted = {entry.repo: entry for entry in listed}
    found = []
    for repo, _, revision in named:
        known = accepted.get(repo)
        if known is not None and revision in ("", known.revision):
            found.append(known)
            continue
        entry = _own_entry(hub, repo, revision or "main")
        if isinstance(entry, Unreadable):
            raise NotThere(f"{repo} {entry.reason}", "Adapters are found by their cards.")
        found.append(replace(entry, asked_by=revision))
    return found


def _own_entry(hub: Hub, repo: str, revision: str) -> Entry | Unreadable:
    at = hub.at_commit(repo, revision)
    if at.file(CARD_NAME) is None:
        return Unreadable(repo, "has no card")
    return entry_of_text(at, "model", CARD_NAME, hub.read_text(repo, at.revision, CARD_NAME))


def live_entries(hub: Hub, regions: Iterable[str]) -> Listing:
    """Adapters on the hub that carry the tags of `regions`, accepted or not.

    What the hub's index has yanked is yanked, whatever the adapter's own card says.
    """
    yanked = yanked_adapters(hub)
    found: list[Entry | Unreadable] = []
    for region in regions:
        for repo, revision in hub.discover([TAG, f"ggez-region:{region}"]):
            found.append(_own_entry(hub, repo, revision))
    return Listing(
        entries=tuple(_unless_yanked(e, yanked) for e in found if isinstance(e, Entry)),
        unreadable=tuple(e for e in found if isinstance(e, Unreadable)),
        yanked=yanked,
    )


def _unless_yanked(entry: Entry, yanked: Mapping[str, str]) -> Entry:
    reason = yanked.get(entry.repo.lower())
    if reason is None:
        return entry
    summary = entry.summary.model_copy(update={"state": "yanked", "reason": reason})
    return replace(entry, summary=summary)
