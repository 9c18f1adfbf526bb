"""Folders that a stranger packed: no link in them leads out, and what is read is a file.

A link in a model's folder would put a private file into the result; a pipe would be waited for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ggez_hub.errors import GgezError

# In the cache of huggingface_hub a file is a link to its content, which is named by its digest.
CONTENT = re.compile(r"(?:models|datasets|spaces)--[^/]+/blobs/(?:[0-9a-f]{40}|[0-9a-f]{64})")


class UnsafeFile(GgezError):
    """A file is a link that leads out of its folder, or is not a file."""


def require_contained(path: Path, folder: Path) -> None:
    """Raise UnsafeFile unless `path` is a file whose content is in `folder`, or in a Hub's cache."""
    try:
        real = path.resolve()
    except RuntimeError:  # of a link to itself
        real = path.parent.resolve() / path.name
    if not real.is_relative_to(folder.resolve()) and not CONTENT.fullmatch(
        "/".join(real.parts[-3:])
    ):
        raise UnsafeFile(
            f"{path} is a link that leads out of {folder}, to {real}",
            "Put the file itself there, if it belongs to it.",
        )
    if not real.exists():
        raise UnsafeFile(f"{path} is a link to nothing", "Download the folder again.")
    if not real.is_file():
        what = "a link to a folder" if real.is_dir() else "a pipe, a socket or a device"
        raise UnsafeFile(f"{path} is {what}", "Remove it, or put in its place what belongs there.")


def require_contained_files(folder: Path, paths: Iterable[Path]) -> None:
    """The same for all files of `paths`; folders that are not links are left out."""
    for path in paths:
        if path.is_symlink() or not path.is_dir():
            require_contained(path, folder)


def files_below(folder: Path) -> dict[str, Path]:
    """The files of a folder at any depth, by their paths in it with forward slashes, in order."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in found}
