"""The inputs of a merge as they lie: folders and files of this machine, or repositories of a hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.cards.readme import MAX_CARD_BYTES, license_of
from ggez_hub.merging.betas_by_part import BetasByPart

CARD_NAME = "README.md"
# Where huggingface_hub keeps a repository at a commit.
CACHED = re.compile(
    r"models--(?P<owner>[^/]+?)--(?P<name>[^/]+)/snapshots/(?P<revision>[0-9a-f]{40})$"
)


@dataclass(frozen=True)
class Source:
    """An input: where it lies, and the repository and commit that it is known to come from.

    `given` is how it was asked for; `readme` the text of its card, empty if it has none.
    """

    path: Path
    given: str
    repo: str | None = None
    revision: str | None = None
    readme: str = ""

    @property
    def name(self) -> str:
        """What it is called: its repository, or its own name, never where it lies."""
        return self.repo or self.path.absolute().name

    @property
    def license(self) -> str:
        """The licence that its card declares, or `unknown`."""
        # Slow to import, and only a merged model names its licences.
        from ggez_hub.cards.document import split_front_matter

        return license_of(split_front_matter(self.readme)[0])


@dataclass(frozen=True)
class WeightedSource:
    """An adapter and the weight that it gets: `beta`, and of some tensors by `parts`."""

    source: Source
    beta: float
    parts: BetasByPart | None = None


def on_disk(path: Path) -> Source:
    """The input at a path; one in the cache of huggingface_hub is known by its repository."""
    folder = path if path.is_dir() else path.parent
    card = folder / CARD_NAME
    readme = ""
    if card.is_file() and card.stat().st_size <= MAX_CARD_BYTES:
        readme = card.read_text(encoding="utf-8", errors="replace")
    cached = CACHED.search(folder.absolute().as_posix())
    if cached is None:
        return Source(path, str(path), readme=readme)
    repo = f"{cached['owner']}/{cached['name']}"
    return Source(path, str(path), repo, cached["revision"], readme)
