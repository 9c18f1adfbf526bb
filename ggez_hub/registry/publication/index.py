"""The accepted cards and their index file to the hub's index data set, by one commit."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ggez_hub.hub import Hub
from ggez_hub.hub.commits import Content, commit, ensure_repo, head_of, require_token
from ggez_hub.registry.constants import INDEX_FILE, INDEX_REPO
from ggez_hub.registry.index.build import Built, build_index


@dataclass(frozen=True)
class PublishedIndex:
    """The commit that holds the index, what it changed, and what was built."""

    revision: str
    changed: tuple[str, ...]
    built: Built


def publish_index(
    cards: Path,
    hub: Hub,
    *,
    skip_bad: bool = False,
    evidence: Mapping[str, Content] = MappingProxyType({}),
) -> PublishedIndex:
    """Bring the index data set to hold exactly the cards below `cards`, and their index file.

    `evidence` are further files by their paths in the data set. A card that is not there any more is
    removed; repeated, nothing is sent. Raises BadCards before
    anything is sent, GgezError without a token, and what the client raises.
    """
    require_token(hub)
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / INDEX_FILE
        built = build_index(cards, index, skip_bad=skip_bad)
        left_out = {bad.path for bad in built.bad}
        files: dict[str, Content] = {
            path: place
            for place in sorted(cards.glob("*/*/*.md"))
            if (path := f"cards/{place.relative_to(cards).as_posix()}") not in left_out
        }
        files |= {**evidence, INDEX_FILE: index}
        ensure_repo(hub, INDEX_REPO, private=False, repo_type="dataset")
        there = head_of(hub, INDEX_REPO, "dataset")
        gone = [
            file.path
            for file in there.files
            if file.path.startswith("cards/") and file.path not in files
        ]
        message = f"Index {built.cards} accepted adapters"
        done = commit(hub, INDEX_REPO, files, message, remove=gone, repo_type="dataset")
    return PublishedIndex(done.revision, done.changed, built)
