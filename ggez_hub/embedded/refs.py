"""Branches and tags of one bare repository.

The caller holds the repository's lock for every change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dulwich.object_store import peel_sha
from dulwich.objects import Commit, ObjectID
from dulwich.refs import DiskRefsContainer, Ref, check_ref_format

from ggez_hub.atomic_files import sync
from ggez_hub.embedded.errors import RevisionNotFoundError, StaleParentError
from ggez_hub.embedded.names import target_ref
from ggez_hub.embedded.objects import Objects, decode

_ABSENT: Final = ObjectID(b"0" * 40)
_OBJECT_ID: Final = re.compile(r"[0-9a-f]{7,40}")


@dataclass(frozen=True, slots=True)
class NamedRef:
    """A branch or a tag: its short name, its full name, and the commit it stands for."""

    name: str
    ref: str
    commit: str


class Refs:
    """The refs of a repository whose git folder is `path`."""

    def __init__(self, path: Path, objects: Objects) -> None:
        self._path = path
        self._objects = objects
        self._refs = DiskRefsContainer(path)

    def exists(self, ref: Ref) -> bool:
        """Whether there is a ref of that full name."""
        return ref in self._refs

    def named(self, prefix: str) -> list[NamedRef]:
        """The refs below `prefix` (`refs/heads/`, `refs/tags/`) that stand for a commit, by name."""
        found = []
        for short in sorted(self._refs.subkeys(Ref(prefix.rstrip("/").encode()))):
            name = short.decode(errors="replace")
            commit = self._commit(Ref(prefix.encode() + short))
            if commit is not None:
                found.append(NamedRef(name, prefix + name, commit))
        return found

    def values(self) -> dict[str, str]:
        """What each ref points to at this moment, by its full name: commits, and annotated tags."""
        # Anew: packed refs are remembered.
        found = DiskRefsContainer(self._path).as_dict(Ref(b"refs"))
        return {f"refs/{decode(name)}": oid.decode() for name, oid in found.items()}

    def tips(self) -> list[str]:
        """What the refs point to at this moment."""
        return sorted(set(self.values().values()))

    def head(self, branch: str) -> str | None:
        """The commit at the end of a branch or pull request, None where there is none."""
        return self._commit(target_ref(branch))

    def resolve(self, revision: str) -> str:
        """The commit that `revision` names: a full ref, a branch, a tag, a commit id or 7 digits of one.

        HEAD is the default branch, unless something else has that name. Raises RevisionNotFoundError.
        """
        full = [revision] if revision.startswith("refs/") else []
        default = ["HEAD"] if revision == "HEAD" else []
        for candidate in (*full, f"refs/heads/{revision}", f"refs/tags/{revision}", *default):
            commit = self._commit(Ref(candidate.encode(errors="replace")))
            if commit is not None:
                return commit
        matches: set[str] = set()
        if _OBJECT_ID.fullmatch(revision):
            matches = {oid.decode() for oid in self._objects.store.iter_prefix(revision.encode())}
        commits = [oid for oid in matches if self._objects.find(oid, Commit) is not None]
        if len(commits) != 1:
            raise RevisionNotFoundError.of(revision)
        return commits[0]

    def swap(self, ref: Ref, old: str | None, new: str) -> None:
        """Point `ref` from `old` (None: it must not exist yet) to `new`, durably.

        The objects that were written so far are on disk before that. Raises StaleParentError.
        """
        self._objects.flush()
        path = self._path.joinpath(*ref.decode().split("/"))
        try:
            # The repository's lock is ours, so a lock of this file was left by a process that was killed.
            path.with_name(path.name + ".lock").unlink(missing_ok=True)
            swapped = self._refs.set_if_equals(
                ref, ObjectID(old.encode()) if old else _ABSENT, ObjectID(new.encode())
            )
        except (FileExistsError, IsADirectoryError, NotADirectoryError):
            # `a` and `a/b` cannot both be refs: git keeps them as a file and a folder.
            raise StaleParentError from None
        if not swapped:
            raise StaleParentError
        sync(path.parent)

    def delete(self, ref: Ref) -> None:
        """Remove a ref; absent is fine."""
        self._refs.remove_if_equals(ref, None)

    def _commit(self, ref: Ref) -> str | None:
        """The commit that a ref stands for, through annotated tags."""
        if not check_ref_format(ref):
            return None
        try:
            _, peeled = peel_sha(self._objects.store, self._refs[ref])
        except KeyError:
            return None
        return peeled.id.decode() if isinstance(peeled, Commit) else None
