"""What adapters without recorded bytes were when they were first used on this machine.

A card of the level declared may name the branch `main` and no sha256: whatever its repository holds
later is taken. So the bytes of the first use are kept in the user's cache, beside a hub's answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias

from ggez_hub.cards.values import UNKNOWN
from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub, NotInCache
from ggez_hub.hub.answers import Answers

if TYPE_CHECKING:
    from ggez_hub.registry.resolver.resolver import Resolved

Digests: TypeAlias = Mapping[str, str]
QUESTION = "first use"


class ChangedSince(GgezError):
    """A repository holds other weights than at its first use, and no card says which are meant."""


def note_first_use(resolved: Resolved, hub: Hub) -> None:
    """Keep the digests of what no card records; those that were kept before are replaced."""
    for repo, digests in _unrecorded(resolved):
        if not hub.temporary:
            Answers(hub.endpoint).keep((QUESTION, repo.lower()), dict(digests))


def require_first_use(resolved: Resolved, hub: Hub) -> None:
    """Raise ChangedSince for a repository whose weights are not those of its first use."""
    for repo, digests in _unrecorded(resolved):
        try:
            before = Answers(hub.endpoint).recall((QUESTION, repo.lower()), repo)
        except NotInCache:
            continue
        if isinstance(before, dict) and before != digests:
            raise ChangedSince(
                f"{repo} holds other weights than when it was first used here: "
                f"{', '.join(_differences(before, digests))}",
                f"Its card records no sha256. Look at {hub.page(repo)}/commits/main, then take the "
                "new ones with --accept-changed.",
            )


def _unrecorded(resolved: Resolved) -> Iterator[tuple[str, Digests]]:
    resolution = resolved.resolution
    for document, adapter in zip(resolved.documents, resolution.adapters, strict=True):
        if document.card.files == UNKNOWN:
            yield adapter.source.repo, adapter.decisive
        if document.card.base.weights == UNKNOWN and resolution.base is not None:
            yield resolution.base.repo, resolution.base.weights


def _differences(before: Digests, now: Digests) -> Iterable[str]:
    for path in sorted(before.keys() | now.keys()):
        if before.get(path) != now.get(path):
            what = "changed" if before.keys() & now.keys() >= {path} else "new"
            yield f"{path} is {what if path in now else 'gone'}"
