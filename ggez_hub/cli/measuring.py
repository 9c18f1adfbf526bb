"""What commands that measure a model share: where the model is, and what it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import click

if TYPE_CHECKING:
    from ggez_hub.cards import AdapterCard
    from ggez_hub.evaluation.origin import Place
    from ggez_hub.hub import Hub

cache_option = click.option(
    "--cache/--no-cache",
    "cached",
    default=True,
    help="Answers are kept in the user's cache, and none is computed twice.",
)


class Found(NamedTuple):
    """A model or an adapter on this machine: where it lies, and what of a hub it is, if it is."""

    path: Path
    repo: str | None = None
    revision: str | None = None

    def place(self, results: Path) -> Place:
        """As a results folder records it."""
        from ggez_hub.evaluation.origin import InFolder, InRepo

        if self.repo is None or self.revision is None:
            return InFolder.of(self.path, results)
        return InRepo(repo=self.repo, revision=self.revision)


def find_model(named: str, here: Path, hub: Hub) -> Found:
    """A local folder, or the files of a repository (`org/name@revision`): to load, and its card."""
    from ggez_hub.cards.readme import MAX_CARD_BYTES
    from ggez_hub.evaluation.evidence import CARD
    from ggez_hub.registry.resolving.vetting import model_files

    folder = here / named
    if folder.is_dir():
        return Found(folder)
    repo, _, revision = named.partition("@")
    at = hub.at_commit(repo, revision or "main")
    files = [pinned.as_hub_file() for pinned in model_files(at)]
    card = at.file(CARD)
    if card is not None and card.size <= MAX_CARD_BYTES:
        files.append(card)
    return Found(hub.fetch(at.repo, at.revision, files), at.repo, at.revision)


def find_adapter(named: str, here: Path, hub: Hub) -> Found:
    """A local folder or file with an adapter, or the files of a repository."""
    file = here / named
    return Found(file) if file.is_file() else find_model(named, here, hub)


def card_of(folder: Path) -> AdapterCard | None:
    """The card in a folder, if it is one of ours."""
    from ggez_hub.cards import BadCard, read_card
    from ggez_hub.evaluation.evidence import CARD

    try:
        return read_card(folder / CARD).card
    except (OSError, BadCard):
        return None


def trained_on(folder: Path) -> list[str] | Literal["unknown"]:
    """The data sets that the card in a folder names, if it is a card of ours."""
    from ggez_hub.evaluation.evidence import data_of

    card = card_of(folder)
    return data_of(card) if card else "unknown"
