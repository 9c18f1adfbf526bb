"""The repositories that a card speaks for: adapter and base at their commits, with their files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ggez_hub.cards import AdapterCard
from ggez_hub.cards.schema import Location
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.registry.file_checks import vet_adapter, vet_base
from ggez_hub.registry.resolution import PinnedFile


def location_of(card: AdapterCard) -> Location:
    """The adapter's place; `check_card` refuses a card without one."""
    assert card.adapter is not None  # noqa: S101 - check_card requires it
    return card.adapter


@dataclass(frozen=True)
class VettedRepo:
    """A repository at a commit, and those of its files that were checked against the card."""

    at: RepoAtCommit
    files: tuple[PinnedFile, ...]

    @property
    def nbytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def only(self) -> RepoAtCommit:
        """The repository as if it had no other files."""
        paths = {file.path for file in self.files}
        return replace(self.at, files=tuple(file for file in self.at.files if file.path in paths))

    def fetch(self, hub: Hub) -> Path:
        files = [file.as_hub_file() for file in self.files]
        return hub.fetch(self.at.repo, self.at.revision, files)


def base_of(card: AdapterCard, hub: Hub) -> VettedRepo:
    """The base of a card; raises NotFit, and what the hub raises."""
    at = hub.at_commit(card.base.repo, card.base.revision)
    return VettedRepo(at, vet_base(at, card, hub))


def weight_bytes(card: AdapterCard, hub: Hub) -> int:
    """The bytes of base and adapter, which may be as large as a base; raises as `base_of`."""
    return base_of(card, hub).nbytes + adapter_of(card, hub).nbytes


def adapter_of(card: AdapterCard, hub: Hub) -> VettedRepo:
    """The adapter of a card; raises as `base_of`."""
    location = location_of(card)
    at = hub.at_commit(location.repo, location.revision)
    return VettedRepo(at, vet_adapter(at, card, hub))
