"""Removing git objects that nothing leads to.

The caller holds the lock of the repository. An object that came lately stays: the request that brought it may
still be under way. Packs are written anew without what goes, and replaced when the new one is on disk.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from dulwich.object_format import DEFAULT_OBJECT_FORMAT
from dulwich.objects import ObjectID
from dulwich.pack import Pack
from filelock import FileLock

from ggez_hub.atomic_files import sync
from ggez_hub.embedded.objects import PRUNING, TEMPORARY_PACK, NewPack

_OID_LENGTH: Final = 40
# No upload takes longer.
_UPLOAD: Final = 24 * 3600


def prune(folder: Path, keep: Collection[str], before: float, *, dry_run: bool = False) -> int:
    """Remove the objects of a repository but for `keep`, and what is younger than `before`; the bytes.

    `folder` is its git folder. A kill leaves objects too many, never too few.
    """
    with packing_lock(folder):
        return _prune(folder, keep, before, dry_run=dry_run)


def packing_lock(folder: Path) -> FileLock:
    """Held while objects go from one file to another, and by whoever must find all of them."""
    return FileLock(folder / "packing.lock")


def _prune(folder: Path, keep: Collection[str], before: float, *, dry_run: bool) -> int:
    objects = folder / "objects"
    loose = [
        path
        for path, status in _looked_at(_loose(objects))
        if path.parent.name + path.name not in keep and status.st_mtime < before
    ]
    packs = [
        index.with_suffix("")
        for index in (objects / "pack").glob("pack-*.idx")
        if index.stat().st_mtime < before and not index.with_suffix(".keep").exists()
    ]
    found = {base: _garbage(base, keep) for base in packs}
    if not dry_run:
        _stamp(objects)
    try:
        for base, size in found.items():
            if size and not dry_run:
                _rewrite(base, keep)
        freed = sum(found.values())
        # Uploads that are under way have files there, whatever `before` is.
        old = min(before, time.time() - _UPLOAD)
        left = [path for path, status in _looked_at(_leftovers(folder)) if status.st_mtime < old]
        for path, status in _looked_at((*loose, *left)):
            freed += status.st_size
            if not dry_run:
                path.unlink(missing_ok=True)
    finally:
        if not dry_run:
            _stamp(objects)
    return freed


def _stamp(objects: Path) -> None:
    """Have whoever writes look whether what they found here is there still.

    Before and after: who begins meanwhile finds what is about to go.
    """
    stamp = objects / PRUNING
    stamp.touch()
    last = stamp.stat().st_mtime_ns
    os.utime(stamp, ns=(last, last + 1))


def stored_bytes(folder: Path) -> int:
    """What the objects of a repository take on disk."""
    found = _looked_at((folder / "objects").rglob("*"))
    return sum(status.st_size for _, status in found if stat.S_ISREG(status.st_mode))


def _looked_at(paths: Iterable[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    """Those that are there: uploads, which need no lock, make and remove files at any moment."""
    for path in paths:
        with suppress(FileNotFoundError):
            yield path, path.stat()


def _loose(objects: Path) -> Iterator[Path]:
    for path in objects.glob("??/*"):
        # Or what is left of one that was written when its process was killed.
        if len(path.parent.name + path.name) == _OID_LENGTH or path.suffix == ".partial":
            yield path


def _garbage(base: Path, keep: Collection[str]) -> int:
    """How many bytes of a pack are of objects that go."""
    with Pack(str(base), object_format=DEFAULT_OBJECT_FORMAT) as pack:
        entries = sorted((offset, sha.hex()) for sha, offset, _ in pack.index.iterentries())
    ends = [*(offset for offset, _ in entries[1:]), base.with_suffix(".pack").stat().st_size - 20]
    return sum(
        end - offset for (offset, oid), end in zip(entries, ends, strict=True) if oid not in keep
    )


def _rewrite(base: Path, keep: Collection[str]) -> None:
    """Replace a pack by one without what goes."""
    with Pack(str(base), object_format=DEFAULT_OBJECT_FORMAT) as pack:
        kept = [oid for oid in pack if oid.decode() in keep]
        if kept:
            new = NewPack(base.parent)
            try:
                for oid in kept:
                    new.add(pack[ObjectID(oid)])
                new.finish()
            finally:
                new.abandon()
    # Without its index a pack is not found; one that is left is removed as abandoned.
    base.with_suffix(".idx").unlink()
    for path in base.parent.glob(f"{base.name}.*"):
        path.unlink()
    sync(base.parent)


def _leftovers(folder: Path) -> list[Path]:
    """Packs without an index, and what was on its way into one."""
    packs = folder / "objects" / "pack"
    alone = (path for path in packs.glob("pack-*.*") if not path.with_suffix(".idx").exists())
    return [*alone, *packs.glob(f"{TEMPORARY_PACK}*"), *packs.glob(".*.partial")]
