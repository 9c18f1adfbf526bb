"""The inputs of a merge that lie on a hub, brought to this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ggez_hub.cards.readme import MAX_CARD_BYTES
from ggez_hub.hub import Hub, HubFile, RepoAtCommit, link_fetched
from ggez_hub.registry.contributing.adapter_files import files_on_hub
from ggez_hub.registry.contributing.base_model import BaseModel, find_base
from ggez_hub.registry.local.inputs import CARD_NAME, Source
from ggez_hub.registry.resolving.vetting import beside


def fetch_base(
    hub: Hub, repo: str, revision: str, place: Path, family: str | None, variant: str | None
) -> Source:
    """The base in a repository, in a new folder at `place`: one set of weights, what lies beside.

    Raises NoBase, ChangedFile, and what the client raises.
    """
    found = find_base(hub, f"{repo}@{revision}", family, variant)
    return fetch_base_files(hub, found, place, lambda path: True)


def fetch_base_files(
    hub: Hub, found: BaseModel, place: Path, reads: Callable[[str], bool]
) -> Source:
    """The same of a base that was found already, and only the files whose paths `reads` takes."""
    files = [file for file in found.at.files if file.path in found.weights]
    files += [pinned.as_hub_file() for pinned in beside(found.at, found.weights)]
    return _fetched(hub, found.at, [file for file in files if reads(file.path)], place)


def fetch_adapter(hub: Hub, repo: str, revision: str, place: Path) -> Source:
    """The adapter in a repository, in a new folder at `place`.

    A full fine-tune is fetched with what lies beside its weights. Raises NoAdapterHere, BadAdapter,
    BadWeights, ChangedFile, and what the client raises.
    """
    found = files_on_hub(hub, repo, revision)
    at = found.at
    assert at is not None  # noqa: S101 - it was found on a hub
    files = [file for file in at.files if file.path in found.files]
    if found.kind == "finetune":
        files += [pinned.as_hub_file() for pinned in beside(at, found.files)]
    return _fetched(hub, at, files, place)


def _fetched(hub: Hub, at: RepoAtCommit, files: list[HubFile], place: Path) -> Source:
    cached = hub.fetch(at.repo, at.revision, files) if files else place
    folder = link_fetched(cached, files, place)
    readme = ""
    card = at.file(CARD_NAME)
    if card is not None and card.size <= MAX_CARD_BYTES:
        readme = hub.read_text(at.repo, at.revision, CARD_NAME)
    return Source(folder, f"{at.repo}@{at.revision}", at.repo, at.revision, readme)
