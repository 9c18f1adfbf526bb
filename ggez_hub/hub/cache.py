"""The user's cache of the Hub, which huggingface_hub keeps: what is in it is not trusted."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from ggez_hub.errors import GgezError
from ggez_hub.hub.repository_files import HubFile

# A running download writes at least this often, in seconds: the client gives up sooner.
SILENCE = 120.0


class ChangedFile(GgezError):
    """A file is not the one that was recorded."""


def cache_folder() -> Path:
    """Where huggingface_hub keeps what was fetched."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def check_inside(path: Path) -> None:
    """Raise ChangedFile if a file of the cache is a link to somewhere else; it is not opened."""
    if not path.resolve().is_relative_to(cache_folder().resolve()):
        raise ChangedFile(
            f"{path} is a link that leads out of the cache, to {path.resolve()}",
            "Something else than a download put it there: remove it, and run this again.",
        )


def check_file(path: Path, record: HubFile, where: str) -> None:
    """Raise ChangedFile, after removing it, unless a file of the cache has the recorded digest."""
    check_inside(path)
    if record.matches(path):
        return
    remove(path)
    raise ChangedFile(
        f"{record.path} of {where} is not the file that was recorded "
        f"(expected sha256 or git id {(record.sha256 or record.oid)[:16]}…)",
        "It was removed from the cache. Run it again; if it stays, the file on the hub or on the "
        "way was changed: do not use it.",
    )


def remove(path: Path) -> None:
    """Remove a file of the cache: the link and what it leads to, if that is in the cache."""
    check_inside(path)
    blob = path.resolve()
    path.unlink(missing_ok=True)
    blob.unlink(missing_ok=True)


def remove_leftovers(repo: str, repo_type: str = "model") -> None:
    """Remove what killed downloads of a repository left in the cache; nothing would use it again.

    A download that is running holds the lock of its file, and writes: it is left alone.
    """
    from filelock import FileLock, Timeout
    from huggingface_hub.file_download import repo_folder_name

    cache, name = cache_folder(), repo_folder_name(repo_id=repo, repo_type=repo_type)
    # <digest>.<eight digits>.incomplete, as huggingface_hub names them
    for partial in (cache / name / "blobs").glob("*.incomplete"):
        lock = cache / ".locks" / name / f"{partial.name.partition('.')[0]}.lock"
        try:
            if time.time() - partial.stat().st_mtime > SILENCE and lock.parent.is_dir():
                with FileLock(lock, timeout=0):
                    partial.unlink(missing_ok=True)
        except (Timeout, FileNotFoundError):
            continue


def link_fetched(folder: Path, files: Iterable[HubFile], target: Path) -> Path:
    """A new folder `target` of just these files of the cache's `folder`, as links where possible.

    The cache's own folder may hold more of the same commit. Returns `target`.
    """
    target.mkdir(parents=True)
    for file in files:
        place = target / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            place.symlink_to((folder / file.path).resolve())
        except OSError:
            # Links are a privilege on Windows.
            shutil.copyfile(folder / file.path, place)
    return target
