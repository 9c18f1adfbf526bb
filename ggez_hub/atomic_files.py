"""Files and folders that are complete or absent, also after a kill or a power cut.

The one place for it: content is written beside its target, brought to the disk, and renamed.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import platform
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ggez_hub.errors import GgezError


class OutputExists(GgezError):
    """The output folder is there already."""


@contextmanager
def atomic_file(path: Path, *, mode: int | None = None, durable: bool = True) -> Iterator[Path]:
    """A temporary sibling of `path` that replaces `path` at the end; on error `path` is unchanged.

    The folder of `path` is created where it is missing. `mode` is that of the file; None leaves it to
    whoever writes. Without `durable` the rename is atomic, but a power cut may lose the file.
    What killed processes of this machine left of the same `path` is removed.
    """
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left(path)
    # Threads of one process may write the same path, too.
    writer = f"{_machine()}.{os.getpid()}-{threading.get_ident()}"
    partial = path.with_name(f".{path.name}.{writer}.partial")
    try:
        if mode is not None:
            # Nobody else reads it while it is written.
            partial.touch(mode=0o600)
        yield partial
        if mode is not None:
            partial.chmod(mode)
        if durable:
            sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if durable:
        sync(path.parent)


def _machine() -> str:
    """Several machines may write into one folder, and each has processes of its own."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _remove_left(path: Path) -> None:
    # Elsewhere it cannot be asked whether a process runs.
    if os.name != "posix":
        return
    for left in path.parent.glob(f".{glob.escape(path.name)}.{_machine()}.*.partial"):
        process = left.name.split(".")[-2].partition("-")[0]
        if process.isdigit() and not _is_running(int(process)):
            left.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def write_file(
    path: Path, content: bytes | str, *, mode: int | None = None, durable: bool = True
) -> None:
    """Write `content` (text as UTF-8) to `path`, as `atomic_file` does."""
    data = content.encode() if isinstance(content, str) else content
    with atomic_file(path, mode=mode, durable=durable) as partial:
        partial.write_bytes(data)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A temporary sibling of `target` that becomes `target` at the end, or is removed.

    What a killed run left beside it is removed first: where two processes may write the same
    target, hold `output_lock.lock_output` around this. Raises OutputExists if `target` exists.
    """
    target = target.absolute()
    if os.path.lexists(target):
        raise OutputExists(
            f"{target} exists already", "Choose another folder with -o, or remove it."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(target)
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir()
    try:
        yield partial
        rename_folder(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def partial_of(target: Path) -> Path:
    """Where `atomic_folder` writes what becomes `target`."""
    target = target.absolute()
    return target.with_name(f".{target.name}.partial")


def require_writable(target: Path) -> None:
    """Raise OSError, which names the place, unless `target` can be made or written by this user."""
    place = target.absolute()
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place))
    if not os.access(place, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))


def rename_folder(partial: Path, target: Path) -> None:
    """Rename a finished folder of the same disk to `target`, once all of it is on the disk."""
    for path in partial.rglob("*"):
        sync(path)
    sync(partial)
    partial.rename(target)
    sync(target.parent)


def sync(path: Path) -> None:
    """Bring a file, or a folder's list of names, to the disk (not on Windows, which cannot)."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
