"""A copy of a hub that is consistent, taken while it serves and takes uploads.

The bulk is copied first, without locks: files of content never change. Then, while no repo is made, moved or
removed, come the database, the refs of each repo under its lock, and what the refs need that came meanwhile.
The database comes before the refs, as a killed server leaves them: the hub can live with that. Only the rows of
large files have to be as new as the refs, and are copied once more at the end.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ggez_hub.atomic_files import atomic_folder
from ggez_hub.embedded.garbage import collection_lock
from ggez_hub.embedded.pruning import packing_lock
from ggez_hub.embedded.repository import RepoFolders
from ggez_hub.embedded.store import HubStore

_DATABASE: Final = "hub.sqlite3"
# By which the files of repos are found. Of what has keys of other tables, the others come first.
_GROWING: Final = ("objects", "xorbs", "repo_xorbs", "xet_files", "xet_terms", "xet_chunks")
_CONTENT: Final = ("lfs", "xet")
# What the hub signs with: what it published before is trusted by it.
_KEYS: Final = ("signing.pem", "signing.pub")
_NOT_COPIED: Final = {"incoming"}
_REFS: Final = ("HEAD", "packed-refs", "refs")


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds."""

    repos: int
    files: int
    size: int


def back_up(store: HubStore, target: Path) -> Backup:
    """Copy a hub into the new folder `target`, which `serve` can take as it is.

    It is complete or absent. The token of the folder's owner is not in it: `serve` makes a new one.
    Raises OutputExists if there is such a folder.
    """
    with atomic_folder(target) as partial:
        partial.chmod(0o700)
        # Nothing is removed meanwhile, but with its repo.
        with collection_lock(store):
            for folder in store.folders.all():
                _copy_new(folder / "objects", partial / folder.relative_to(store.root) / "objects")
            _copy_content(store.root, partial)
            for name in _KEYS:
                _copy(store.root / name, partial / name)
            with store.repos_lock():
                _copy_changing(store, partial)
                _copy_content(store.root, partial)
        paths = [path for path in partial.rglob("*") if path.is_file()]
        repos = len(store.catalog.all())
        size = sum(path.stat().st_size for path in paths)
    return Backup(repos, len(paths), size)


def _copy_changing(store: HubStore, target: Path) -> None:
    with (
        closing(sqlite3.connect(store.root / _DATABASE, timeout=30)) as live,
        closing(sqlite3.connect(target / _DATABASE)) as copy,
    ):
        live.backup(copy)
    known = set()
    for repo in store.catalog.all():
        folder = store.folder(repo)
        where = target / folder.relative_to(store.root)
        known.add(where)
        where.mkdir(parents=True, exist_ok=True)
        with store.git(repo) as git, git.lock():
            for name in _REFS:
                _copy(folder / name, where / name)
        _copy(folder / "config", where / "config")
        # After the refs: objects are there before what points to them.
        with packing_lock(folder):
            _copy_new(folder / "objects", where / "objects")
        for index in (where / "objects" / "pack").glob("*.idx"):
            # It came while its folder was read, and nothing that was copied needs it.
            if not index.with_suffix(".pack").exists():
                index.unlink()
    for folder in RepoFolders(target).all():
        if folder not in known:
            shutil.rmtree(folder)
    _add_rows(store.root / _DATABASE, target / _DATABASE)


def _add_rows(live: Path, copy: Path) -> None:
    """Add the rows of files that came since the database was copied."""
    with closing(sqlite3.connect(copy, timeout=30)) as connection:
        connection.execute("ATTACH ? AS live", (str(live),))
        with connection:
            connection.execute("BEGIN")
            for table in _GROWING:
                connection.execute(f"INSERT OR IGNORE INTO {table} SELECT * FROM live.{table}")  # noqa: S608
        connection.execute("DETACH live")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _copy_content(source: Path, target: Path) -> None:
    for name in _CONTENT:
        _copy_new(source / name, target / name)


def _copy_new(source: Path, target: Path) -> None:
    """Copy the files below a folder that are not below the other; a file is complete or not there."""
    target.mkdir(parents=True, exist_ok=True)
    for path in source.rglob("*"):
        there = target / path.relative_to(source)
        if _NOT_COPIED & set(path.relative_to(source).parts) or there.exists():
            continue
        if path.is_dir():
            there.mkdir(parents=True, exist_ok=True)
        # What goes meanwhile goes with its repo.
        elif path.suffix not in {".partial", ".lock"} and not path.name.startswith("tmp_"):
            with suppress(FileNotFoundError):
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, there)


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder as it is now; absent is fine."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.lock"))
    elif source.exists():
        shutil.copy2(source, target)
