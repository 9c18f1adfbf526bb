"""The folders of the git repositories: each is there as a whole or not at all."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ggez_hub.embedded.packing import TEMPORARY
from ggez_hub.embedded.repository import GitRepository


class RepoFolders:
    """The folders below the root of a store."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, kind: str, namespace: str, name: str) -> Path:
        """Where a repo is, or would be."""
        # Lower case, because the catalog takes names that differ only in case for one.
        return self._root / f"{kind}s" / namespace.lower() / f"{name.lower()}.git"

    def create(self, kind: str, namespace: str, name: str) -> None:
        """Make an empty repository in place of what a killed creation may have left."""
        path = self.path(kind, namespace, name)
        self.discard(kind, namespace, name)
        with tempfile.TemporaryDirectory(dir=self._root, prefix=".new-") as temporary:
            GitRepository.create(Path(temporary) / "git")
            path.parent.mkdir(parents=True, exist_ok=True)
            (Path(temporary) / "git").replace(path)

    def discard(self, kind: str, namespace: str, name: str) -> None:
        """Remove a repository; absent is fine."""
        path = self.path(kind, namespace, name)
        if path.exists():
            with tempfile.TemporaryDirectory(dir=self._root, prefix=".old-") as temporary:
                path.replace(Path(temporary) / "git")

    def remove_abandoned(self, before: float) -> None:
        """Delete the packs that were being written by processes killed before the time `before`."""
        for path in self._root.glob(f"*/*/*.git/objects/pack/{TEMPORARY}*"):
            try:
                if path.stat().st_mtime < before:
                    path.unlink()
            except FileNotFoundError:
                continue
