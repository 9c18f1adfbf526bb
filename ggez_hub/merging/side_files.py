"""What stands beside the weights of an output: the side files of the base, and room on the disk."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from ggez_hub.contained_files import require_contained
from ggez_hub.errors import GgezError
from ggez_hub.families.family import Layout
from ggez_hub.hardware import full_disks, size_text

# Weights in any other format than the one merged would be the base's: they are not carried over.
WEIGHT_SUFFIXES = frozenset(
    {
        ".safetensors",
        ".bin",
        ".pt",
        ".pth",
        ".ckpt",
        ".h5",
        ".msgpack",
        ".onnx",
        ".onnx_data",
        ".gguf",
        ".pkl",
    }
)
# The card and the lock of the base are not those of the result; caches and repositories are not
# model files.
NOT_CARRIED = frozenset({"README.md", "ggez.lock", ".git", ".gitattributes", ".cache"})
# The index of shards, which are weights.
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
OTHER_INDEX = re.compile(r"\.index(\.\w+)?\.json\Z")


class NoSpace(GgezError):
    """The disk has too little room; nothing was written."""


def check_space(needed: Mapping[Path, int]) -> None:
    """Raise NoSpace unless the disk of each folder has the bytes that it needs and a little more."""
    for disk in full_disks(needed):
        raise NoSpace(
            f"the disk of {disk.folder} has {size_text(disk.free)} free, "
            f"this needs {size_text(disk.needed)}",
            "Free some space, or choose another disk: -o for the result, HF_HOME for downloads.",
        )


def copy_side_files(base: Path, out: Path, layout: Layout) -> None:
    """Copy what is not weights: configuration, tokenizer, processor, licences.

    Never a link: the result is independent of any cache. An index is carried if its weights are.
    Raises UnsafeFile, and GgezError for JSON that no library could read.
    """
    for path in sorted(base.rglob("*")):
        relative = path.relative_to(base)
        name = relative.as_posix()
        if NOT_CARRIED.intersection(relative.parts) or name in layout.weights:
            continue
        if OTHER_INDEX.search(name) and name not in layout.indexes:
            continue
        if path.suffix.lower() in WEIGHT_SUFFIXES or (path.is_dir() and not path.is_symlink()):
            continue
        require_contained(path, base)
        _check_side_file(path)
        copy_file(path, out / relative)


def _check_side_file(path: Path) -> None:
    if path.suffix.lower() != ".json":
        return
    content = path.read_bytes()
    try:
        json.loads(content)
    except (ValueError, RecursionError) as error:
        if content.startswith(LFS_POINTER):
            raise GgezError(
                f"{path} is a pointer of Git LFS, not the file itself",
                "Run `git lfs pull` there, or `hf download` the model.",
            ) from error
        raise GgezError(
            f"{path} is not JSON: {error}", "Download the model again, or fix the file."
        ) from error


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's content, following links; file systems that can share blocks do so."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not hasattr(os, "copy_file_range"):
        shutil.copyfile(source, target)
        return
    with source.open("rb") as reader, target.open("xb") as writer:
        size = os.fstat(reader.fileno()).st_size
        writer.truncate(size)
        copy_range(reader.fileno(), writer.fileno(), 0, size)


def copy_range(source: int, target: int, start: int, stop: int, shift: int = 0) -> None:
    """Copy these bytes of a file to another one, `shift` bytes further, where nothing is yet.

    Within the system, where it can; what takes no room in the source takes none in the target.
    `target` is long enough already. Raises OSError.
    """
    if os.fstat(source).st_size < stop:
        raise OSError(errno.EIO, "the file became shorter while it was copied")
    while start < stop:
        try:
            start = os.lseek(source, start, os.SEEK_DATA)
            end = min(os.lseek(source, start, os.SEEK_HOLE), stop)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # Nothing but holes to the end.
            end = stop
        while start < end:
            start += _copy_some(source, target, start, start + shift, end - start)


def _copy_some(source: int, target: int, start: int, place: int, count: int) -> int:
    try:
        moved = os.copy_file_range(source, target, count, start, place)
    except (OSError, AttributeError):
        # Not between these two file systems, or not in this one.
        moved = os.pwrite(target, os.pread(source, min(count, 1 << 22), start), place)
    if not moved:
        raise OSError(errno.EIO, "the file became shorter while it was copied")
    return moved
