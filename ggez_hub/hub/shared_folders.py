"""Folders that machines share through a data set of a hub: what changed is sent and fetched as files."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.errors import GgezError
from ggez_hub.execution import SharedFolder
from ggez_hub.hub.repository_files import is_plain_path

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

# How often a commit is tried while others commit.
ATTEMPTS = 30
CONFLICTS = frozenset({409, 412, 429, 500, 502, 503, 504})


class SharedFolders:
    """Folders of this machine by name, as folders of a data set; each process sends what it changed.

    Files that are unfinished (`*.partial`) or lock something (`lock`) stay here. Raises GgezError if the hub lists a
    file outside its folder, and what the client raises.
    """

    def __init__(self, api: HfApi, repo: str, folders: Mapping[str, SharedFolder]) -> None:
        self._api, self._repo, self._folders = api, repo, folders
        # What both sides have: the size and time of each file here, and its digest there.
        self._here: dict[str, tuple[int, int]] = {}
        self._there: dict[str, str] = {}

    def push_all(self) -> None:
        """Have there what is here, and nothing else; nothing is fetched, whatever is there."""
        self._here = dict.fromkeys(self._listed(), (-1, -1))
        self.push()

    def push(self) -> None:
        """Send what was changed here since the last time, and remove there what was removed here."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        now = self._seen()
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(name, str(self._place(name)))
            for name in sorted(now)
            if now[name] != self._here.get(name)
        ]
        operations += [
            CommitOperationDelete(name) for name in sorted(self._here.keys() - now.keys())
        ]
        if operations:
            self._commit(operations)
        self._here = now
        self._there = self._listed()

    def pull(self) -> None:
        """Fetch what was changed there since the last time, and remove here what was removed there."""
        now = self._listed()
        for name in sorted(now):
            if now[name] != self._there.get(name):
                found = self._api.hf_hub_download(self._repo, name, repo_type="dataset")
                place = self._place(name)
                place.parent.mkdir(parents=True, exist_ok=True)
                unfinished = place.with_name(f".{place.name}.partial")
                shutil.copyfile(found, unfinished)
                unfinished.replace(place)
        for name in self._there.keys() - now.keys():
            self._place(name).unlink(missing_ok=True)
        # What is only here is still to be sent.
        seen = self._seen()
        self._there, self._here = now, {name: seen[name] for name in seen.keys() & now.keys()}

    def _place(self, name: str) -> Path:
        folder, _, path = name.partition("/")
        return self._folders[folder].folder / path

    def _seen(self) -> dict[str, tuple[int, int]]:
        found = {}
        for name, shared in self._folders.items():
            for path in shared.files():
                if path.is_file() and path.name != "lock" and path.suffix != ".partial":
                    stat = path.stat()
                    place = path.relative_to(shared.folder).as_posix()
                    found[f"{name}/{place}"] = (stat.st_size, stat.st_mtime_ns)
        return found

    def _listed(self) -> dict[str, str]:
        from huggingface_hub import RepoFile

        listed = self._api.list_repo_tree(self._repo, recursive=True, repo_type="dataset")
        found = {}
        for entry in listed:
            name, _, path = entry.path.partition("/")
            shared = self._folders.get(name)
            if isinstance(entry, RepoFile) and shared is not None and shared.has(path):
                if not is_plain_path(entry.path):
                    raise GgezError(
                        f"{self._repo} lists {entry.path!r}, which leads out of its folder",
                        "Nothing of it was fetched: do not use this hub.",
                    )
                found[entry.path] = entry.lfs.sha256 if entry.lfs else entry.blob_id
        return found

    def _commit(self, operations: list[CommitOperationAdd | CommitOperationDelete]) -> None:
        from huggingface_hub.errors import HfHubHTTPError

        for attempt in range(ATTEMPTS):
            try:
                self._api.create_commit(
                    self._repo, operations, commit_message="Share", repo_type="dataset"
                )
                return
            except HfHubHTTPError as error:
                if error.response.status_code not in CONFLICTS or attempt == ATTEMPTS - 1:
                    raise
                time.sleep(random.uniform(0.1, 2.0))  # noqa: S311 - not a secret
