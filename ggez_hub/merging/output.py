"""Output folders that are whole or absent, and the side files of the base."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ggez_hub.errors import GgezError
from ggez_hub.families.base import Layout

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
# The card and the lock of the base are not those of the result; caches and repositories are no
# model files.
NOT_CARRIED = frozenset({"README.md", "ggez.lock", ".git", ".gitattributes", ".cache"})
# The index of shards, which are weights.
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
OTHER_INDEX = re.compile(r"\.index(\.\w+)?\.json$")


class OutputExists(GgezError):
    """The output folder is there already."""


class BadSideFile(GgezError):
    """A file beside the weights cannot be carried over, or nothing could read it."""


class NoSpace(GgezError):
    """The disk has too little room; nothing was written."""


@contextmanager
def exclusive(target: Path) -> Iterator[Path]:
    """Only one process at a time writes `target`; others wait here until it is done.

    Yields a path for a folder of temporary files, which is gone afterwards; one that a killed run
    left is removed first.
    """
    from filelock import FileLock

    # Away from the target, so that nothing is left beside it.
    user = os.getuid() if os.name == "posix" else 0
    locks = Path(tempfile.gettempdir()) / f"ggez-hub-{user}"
    locks.mkdir(mode=0o700, exist_ok=True)
    seen = locks.lstat()
    # The folder above is everybody's: a link there was made by somebody else.
    if os.name == "posix" and (seen.st_uid != user or not stat.S_ISDIR(seen.st_mode)):
        raise PermissionError(
            errno.EPERM, "is not a folder of yours: remove it, or set TMPDIR", str(locks)
        )
    name = hashlib.sha256(str(target.absolute()).encode()).hexdigest()[:32]
    scratch = locks / f"{name}.scratch"
    with FileLock(locks / f"{name}.lock"):
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A temporary sibling of `target` that becomes `target` at the end, or vanishes.

    Raises OutputExists if `target` is there. What a killed run left beside it is removed first;
    the caller holds `exclusive(target)`, so that no running one is taken for killed.
    """
    target = target.absolute()
    if os.path.lexists(target):
        raise OutputExists(
            f"{target} exists already", "Choose another folder with -o, or remove it."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent / f".{target.name}.partial"
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir()
    try:
        yield partial
        _sync(partial)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _sync(target.parent, recursive=False)


def check_space(folder: Path, needed: int) -> None:
    """Raise NoSpace unless the disk of `folder` has `needed` bytes and a little more."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed * 1.02:
        raise NoSpace(
            f"{place} has {free / 1e9:.2f} GB free, this needs {needed / 1e9:.2f} GB",
            "Free some space, or choose another disk with -o.",
        )


def copy_side_files(base: Path, out: Path, layout: Layout) -> None:
    """Copy what is not weights: configuration, tokenizer, processor, licences.

    Never a link: the result is independent of any cache. An index is carried if its weights are.
    Raises BadSideFile for what cannot be carried, and for JSON that no library could read.
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
        _check_side_file(path)
        copy_file(path, out / relative)


def _check_side_file(path: Path) -> None:
    if not path.exists():
        raise BadSideFile(f"{path} is a link to nothing", "Download the model again.")
    if not path.is_file():
        what = "a link to a folder" if path.is_dir() else "no file (a pipe, a socket or a device)"
        raise BadSideFile(f"{path} is {what}", "Remove it, or put in its place what belongs there.")
    if path.suffix.lower() != ".json":
        return
    content = path.read_bytes()
    try:
        json.loads(content)
    except (ValueError, RecursionError) as error:
        if content.startswith(LFS_POINTER):
            raise BadSideFile(
                f"{path} is a pointer of Git LFS, not the file itself",
                "Run `git lfs pull` there, or `hf download` the model.",
            ) from error
        raise BadSideFile(
            f"{path} is no JSON: {error}", "Download the model again, or mend the file."
        ) from error


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's content, following links; file systems that can share blocks do so."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not hasattr(os, "copy_file_range"):
        shutil.copyfile(source, target)
        return
    with source.open("rb") as reader, target.open("xb") as writer:
        left = source.stat().st_size
        while left:
            try:
                moved = os.copy_file_range(reader.fileno(), writer.fileno(), left)
            except OSError:
                # Not between these two file systems.
                shutil.copyfileobj(reader, writer, 1 << 22)
                return
            if not moved:
                raise OSError(errno.EIO, "the file became shorter while it was copied", str(source))
            left -= moved


def _sync(folder: Path, *, recursive: bool = True) -> None:
    """Bring a folder to the disk, with what is below it: a rename must not outrun its content."""
    if os.name != "posix":
        return
    for path in (folder, *(folder.rglob("*") if recursive else ())):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
