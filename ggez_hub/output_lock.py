"""One process at a time for each output: some wait for each other, others refuse to start."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ggez_hub.atomic_files import partial_of
from ggez_hub.errors import GgezError


class OutputInUse(GgezError):
    """Another process works on the same output."""


@contextmanager
def lock_work_folder(folder: Path, out: Path) -> Iterator[None]:
    """Hold `folder`, which keeps the unfinished work for `out`, until this process ends.

    The folder is created where it is missing. Raises OutputInUse at once if it is held.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout:
        raise OutputInUse(f"another process works on {out}", "Wait for it, or stop it.") from None


@contextmanager
def lock_output(target: Path, *parts: Path) -> Iterator[Path]:
    """Let one process at a time write `target`; others wait here until it is done.

    Yields the path of a folder for temporary files, which is removed afterwards. What killed runs
    left, of this target or another one, is removed first: such folders, and what `atomic_folder`
    has for their targets. `parts` are folders within `target` that are written by `atomic_folder`.
    """
    locks = remove_leftovers()
    # The same output under another path, through a link or "..", has the same lock.
    name = hashlib.sha256(os.path.realpath(target).encode()).hexdigest()[:32]
    scratch, record = locks / f"{name}.scratch", locks / f"{name}.unfinished"
    with _brief_lock(locks / f"{name}.lock"):
        shutil.rmtree(scratch, ignore_errors=True)
        partials = [str(partial_of(path)) for path in (target, *parts)]
        record.write_text(json.dumps(partials), encoding="utf-8")
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            record.unlink(missing_ok=True)


def remove_leftovers() -> Path:
    """Remove what runs left that ended without an end, whose locks nobody holds any more.

    Returns the folder of the locks; raises PermissionError if it is not the user's own.
    """
    # Away from the target, so that nothing is left beside it.
    user = os.getuid() if os.name == "posix" else 0
    locks = Path(tempfile.gettempdir()) / f"ggez-hub-{user}"
    locks.mkdir(mode=0o700, exist_ok=True)
    found = locks.lstat()
    # Everybody may write to the folder above: a link there was made by somebody else.
    if os.name == "posix" and (found.st_uid != user or not stat.S_ISDIR(found.st_mode)):
        raise PermissionError(
            errno.EPERM, "is not a folder of yours: remove it, or set TMPDIR", str(locks)
        )
    # A kill just before the record is written, or just after it went, leaves the lock alone.
    for lock in {path.with_suffix(".lock") for path in locks.iterdir()}:
        from filelock import Timeout

        record = lock.with_suffix(".unfinished")
        with suppress(Timeout), _brief_lock(lock, timeout=0):
            # A run may have been killed here, too, and another process may clean up at this moment.
            with suppress(OSError, ValueError):
                for partial in json.loads(record.read_text(encoding="utf-8")):
                    shutil.rmtree(partial, ignore_errors=True)
            shutil.rmtree(record.with_suffix(".scratch"), ignore_errors=True)
            record.unlink(missing_ok=True)
    return locks


@contextmanager
def _brief_lock(path: Path, timeout: float = -1) -> Iterator[None]:
    """Hold the lock of `path`, whose file goes with it; raises filelock's Timeout.

    A process that opened the file before it went does not get its lock: filelock opens it anew.
    """
    from filelock import FileLock

    with FileLock(path, timeout=timeout):
        try:
            yield
        finally:
            # Windows keeps a file that is open; what is left there does no harm.
            with suppress(PermissionError):
                path.unlink(missing_ok=True)
