"""Files that are to become a repository, listed as a hub would list them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.hub.listing import HubFile, RepoAtCommit
from ggez_hub.weights import sha256_file

# There is no commit yet, and git's ids are for files that lie on a hub.
NO_ID = "0" * 40


@dataclass(frozen=True)
class LocalRepo:
    """Files on this machine by the paths that they will have in the repository `repo`."""

    repo: str
    files: Mapping[str, Path]

    def listing(self) -> RepoAtCommit:
        """All files with size and sha256; every byte is read."""
        files = tuple(
            HubFile(path, place.stat().st_size, NO_ID, sha256_file(place))
            for path, place in sorted(self.files.items())
        )
        return RepoAtCommit(self.repo, NO_ID, files, "", gated=False)

    def read_text(self, repo: str, revision: str, path: str) -> str:
        """The text of one of the files."""
        return self.files[path].read_text(encoding="utf-8")
