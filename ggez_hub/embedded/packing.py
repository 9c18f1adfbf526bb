"""Putting the loose objects of a repository into a pack: a clone of many commits reads one file instead of thousands.

It needs no lock of the repository: an object is in the pack, on disk, before its own file goes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from dulwich.objects import ShaFile
from filelock import FileLock, Timeout

from ggez_hub.embedded.objects import NewPack

MANY_LOOSE: Final = 1000
_ID: Final = re.compile(r"[0-9a-f]{40}")


def pack_loose(folder: Path, more_than: int = MANY_LOOSE) -> int:
    """Pack the loose objects of the git folder if they are more than that; how many were packed.

    Nothing is done while another process does it. Objects that are damaged stay as they are.
    """
    try:
        with FileLock(folder / "packing.lock", timeout=0):
            return _pack(folder / "objects", more_than)
    except Timeout:
        return 0


def _pack(objects: Path, more_than: int) -> int:
    loose = {
        oid: path
        for path in objects.glob("[0-9a-f][0-9a-f]/*")
        if _ID.fullmatch(oid := path.parent.name + path.name)
    }
    if len(loose) <= more_than:
        return 0
    packed = []
    pack = NewPack(objects / "pack")
    try:
        for oid, path in loose.items():
            item = _read(path)
            if item is not None and item.id.decode() == oid:
                pack.add(item)
                packed.append(path)
        if packed:
            pack.finish()
    finally:
        pack.abandon()
    for path in packed:
        path.unlink(missing_ok=True)
    return len(packed)


def _read(path: Path) -> ShaFile | None:
    try:
        return ShaFile.from_path(str(path))
    except Exception:  # what dulwich raises for damaged bytes has no base in common
        return None
