"""One process at a time for each output: some wait for each other, others refuse to start."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
def lock_output(target: Path) -> Iterator[Path]:
    """Let one process at a time write `target`; others wait here until it is done.

    Yields the path of a folder for temporary files, which is removed afterwards; one that a killed
    run left is removed first.
    """
    from filelock import FileLock

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
    name = hashlib.sha256(str(target.absolute()).encode()).hexdigest()[:32]
    scratch = locks / f"{name}.scratch"
    with FileLock(locks / f"{name}.lock"):
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
