"""What nothing needs any longer, and its removal: safe while the hub serves and takes uploads.

An object stays for a time after it came, or after a client was told that it need not be sent: the commit that
names it may be on its way. First references go, repo by repo under the lock of each, then rows, then the files
that have no row: a kill in between leaves files, which the next collection removes.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.objects import DAMAGED
from ggez_hub.embedded.pruning import prune, stored_bytes
from ggez_hub.embedded.reachable import Reachable
from ggez_hub.embedded.store import HubStore
from ggez_hub.embedded.xet.catalog import remove_unused


@dataclass(frozen=True, slots=True)
class Freed:
    """What a collection removed, in files and bytes; and the repos in which objects are missing.

    Of those nothing was removed.
    """

    large_files: int
    large_bytes: int
    xorbs: int
    xorb_bytes: int
    git_bytes: int
    leftover_bytes: int
    damaged: tuple[str, ...]

    @property
    def total_bytes(self) -> int:
        return self.large_bytes + self.xorb_bytes + self.git_bytes + self.leftover_bytes


def collection_lock(store: HubStore) -> FileLock:
    """Held by the one collection, and by whoever must not see files vanish."""
    return FileLock(store.root / "collection.lock")


def collect(store: HubStore, grace: float, *, dry_run: bool = False) -> Freed:
    """Remove what nothing has needed for `grace` seconds; with `dry_run`, only measure it."""
    before = int(time.time() - grace)
    with collection_lock(store):
        leftover = _leftovers(store, before, dry_run=dry_run)
        damaged: list[str] = []
        unlinked: list[tuple[int, str]] = []
        git_bytes = 0
        for repo in store.catalog.all():
            try:
                oids, freed = _collect_repo(store, repo, before, dry_run=dry_run)
            except (FileNotFoundError, *DAMAGED):
                # Unless it was moved or removed meanwhile.
                if store.catalog.by_key(repo.key) == repo:
                    damaged.append(repo.id)
                continue
            unlinked += [(repo.key, oid) for oid in oids]
            git_bytes += freed
        objects, xorbs = _needed(store, unlinked, before, dry_run=dry_run)
        large = _remove(store.lfs.stored(), objects, store.lfs.lock, _has_object(store), dry_run)
        chunks = _remove(store.xet.stored(), xorbs, store.lfs.lock, _has_xorb(store), dry_run)
    return Freed(*large, *chunks, git_bytes, leftover, tuple(damaged))


def _collect_repo(
    store: HubStore, repo: RepoRecord, before: int, *, dry_run: bool
) -> tuple[list[str], int]:
    """Let go of what no ref of a repo leads to: the LFS objects, and the bytes of git's own."""
    folder = store.folder(repo)
    with store.git(repo) as git:
        found = Reachable(git.objects)
        # The long walk keeps nobody waiting, what came meanwhile is little.
        found.add(git.refs.tips())
        with git.lock():
            found.add(git.refs.tips())
            # Its refs were read where it is: a repo that was moved meanwhile has none in its old place.
            now = store.catalog.by_key(repo.key)
            if now is None or store.folder(now) != folder or not (folder / "HEAD").is_file():
                raise FileNotFoundError(folder)
            oids = store.catalog.unlink(repo, found.pointers, before, dry_run=dry_run)
            size = stored_bytes(folder)
            freed = prune(folder, found.ids, before, dry_run=dry_run)
            if not dry_run:
                left = stored_bytes(folder)
                freed = size - left
                store.catalog.set_git_bytes(repo, left)
    return oids, freed


class _Undo(Exception):
    """Ends a transaction without a change."""


def _needed(
    store: HubStore, unlinked: list[tuple[int, str]], before: int, *, dry_run: bool
) -> tuple[set[str], set[str]]:
    """Remove the rows that nothing refers to; the LFS objects and the xorbs that are left."""
    oids: set[str] = set()
    xorbs: set[str] = set()
    # Under the lock of references, as all who add or remove them.
    with suppress(_Undo), store.lfs.lock(), store.database.transaction() as connection:
        if dry_run:
            query = "DELETE FROM objects WHERE repo = ? AND oid = ?"
            connection.executemany(query, unlinked)
        remove_unused(connection, before)
        oids = _column(connection, "SELECT DISTINCT oid FROM objects")
        xorbs = _column(connection, "SELECT hash FROM xorbs")
        if dry_run:
            raise _Undo
    return oids, xorbs


def _column(connection: sqlite3.Connection, query: str) -> set[str]:
    return {row[0] for row in connection.execute(query)}


def _has_object(store: HubStore) -> Callable[[str], bool]:
    query = "SELECT 1 FROM objects WHERE oid = ?"
    return lambda oid: store.database.row(query, oid) is not None


def _has_xorb(store: HubStore) -> Callable[[str], bool]:
    query = "SELECT 1 FROM xorbs WHERE hash = ?"
    return lambda xorb: store.database.row(query, xorb) is not None


def _remove(
    stored: Iterable[Path],
    needed: set[str],
    lock: Callable[[], AbstractContextManager[object]],
    has_row: Callable[[str], bool],
    dry_run: bool,
) -> tuple[int, int]:
    """Delete the files that are not needed; how many, and their bytes."""
    count = nbytes = 0
    for path in stored:
        if path.name in needed:
            continue
        with lock():
            # It may have come just now, or gone with its repo.
            if not path.exists() or (not dry_run and has_row(path.name)):
                continue
            count, nbytes = count + 1, nbytes + path.stat().st_size
            if not dry_run:
                path.unlink()
    return count, nbytes


def _leftovers(store: HubStore, before: int, *, dry_run: bool) -> int:
    """Delete what killed processes left: parts of uploads, and folders that are no repo's; the bytes."""
    freed = 0
    for path in (*store.lfs.leftovers(), *store.xet.leftovers()):
        with suppress(FileNotFoundError):
            status = path.stat()
            if status.st_mtime < before:
                freed += status.st_size
                if not dry_run:
                    path.unlink()
    # While nobody makes, moves or removes a repo, each folder is a repo's, or nobody's.
    with store.repos_lock():
        known = {store.folder(repo) for repo in store.catalog.all()}
        for folder in (*store.folders.interrupted(), *store.folders.all()):
            if folder not in known:
                freed += sum(path.stat().st_size for path in _files(folder))
                if not dry_run:
                    shutil.rmtree(folder)
    return freed


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
