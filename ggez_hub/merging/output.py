"""Output folders that are whole or absent, and the side files of the base."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from ggez_hub.errors import GgezError

# Weights in any other format than the one merged would be the base's: they are not carried over.
WEIGHT_SUFFIXES = frozenset(
    {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf", ".pkl"}
)
# The card of the base is not the card of the result; caches and repositories are no model files.
NOT_CARRIED = frozenset({"README.md", ".git", ".gitattributes", ".cache"})


class OutputExists(GgezError):
    """The output folder is there already."""


class NoSpace(GgezError):
    """The disk has too little room; nothing was written."""


@contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """Only one process at a time writes `target`; others wait here until it is done."""
    from filelock import FileLock

    # Away from the target, so that nothing is left beside it.
    locks = Path(tempfile.gettempdir()) / f"ggez-hub-{os.getuid() if os.name == 'posix' else 0}"
    locks.mkdir(mode=0o700, exist_ok=True)
    name = hashlib.sha256(str(target.absolute()).encode()).hexdigest()[:32]
    with FileLock(locks / f"{name}.lock"):
        yield


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
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _sync_folder(target.parent)


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


def copy_side_files(base: Path, out: Path, rewritten: Collection[str]) -> None:
    """Copy what is not weights: configuration, tokenizer, processor, licences.

    Never a link: the result is independent of any cache.
    """
    for path in sorted(base.rglob("*")):
        relative = path.relative_to(base)
        if NOT_CARRIED.intersection(relative.parts) or relative.as_posix() in rewritten:
            continue
        if path.is_file() and path.suffix.lower() not in WEIGHT_SUFFIXES:
            target = out / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
