"""Removing content that must go, by law: from every repo, from storage, and from history.

A large file is named in git by its sha256 alone, so history stays as it is, and answers 451 for the file. A small
one is in git itself: the commits that have it are written anew with a note in its place, so they and what follows
them get other ids. Either content is refused when somebody sends it again.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Final

from dulwich.objects import Blob, ObjectID

from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.commits import locate
from ggez_hub.embedded.errors import EntryNotFoundError
from ggez_hub.embedded.garbage import collection_lock
from ggez_hub.embedded.lfs import SHA256, Pointer
from ggez_hub.embedded.objects import Objects
from ggez_hub.embedded.pruning import prune
from ggez_hub.embedded.reachable import Reachable
from ggez_hub.embedded.rewriting import rewrite
from ggez_hub.embedded.store import HubStore
from ggez_hub.embedded.xet.catalog import remove_unused
from ggez_hub.embedded.xet.hashing import from_hex
from ggez_hub.embedded.xet.shard import FileInfo

NOTE: Final = b"This file was removed from the history of this repository.\n"
NOTE_BLOB: Final = Blob.from_string(NOTE).id.decode()


@dataclass(frozen=True, slots=True)
class Content:
    """What is to go: large files by their sha256, small ones by their git ids; and the repos with either."""

    large: frozenset[str]
    small: frozenset[str]
    repos: tuple[RepoRecord, ...]


def find(store: HubStore, repo: RepoRecord, what: str) -> Content:
    """The content of a path of `repo`, as it is and as it ever was, or of a sha256; and who has it.

    Raises EntryNotFoundError if no commit of the repo has it.
    """
    with store.git(repo) as git:
        found = Reachable(git.objects)
        found.add(git.refs.tips())
        if SHA256.fullmatch(what):
            large = {what} & (found.pointers | set(store.catalog.linked(repo, [what])))
            small = {oid for oid in found.blobs if _sha256(git.objects, oid) == what}
        else:
            trees = {git.objects.commit(oid).tree.decode() for oid in found.commits}
            entries = [locate(git.objects, tree, what) for tree in trees]
            blobs = {entry[1] for entry in entries if entry} & found.blobs - {NOTE_BLOB}
            pointers = {oid: Pointer.parse(git.objects.blob(oid)) for oid in blobs}
            large = {pointer.oid for pointer in pointers.values() if pointer}
            small = {oid for oid, pointer in pointers.items() if pointer is None}
    # What a purge that was killed left is finished by the next one.
    small |= _left(store)
    if not large | small:
        raise EntryNotFoundError(f"no commit of {repo.id} has {what[:200]}")
    repos = [each for each in store.catalog.all() if _has(store, each, large, small)]
    # This one last: until all are done, the content is found in it.
    repos.sort(key=lambda each: each.key == repo.key)
    return Content(frozenset(large), frozenset(small), tuple(repos))


def purge(store: HubStore, content: Content) -> None:
    """Remove content for good; after a kill it is to be found and purged again."""
    # Where the note stands is nothing to be read.
    note = [NOTE_BLOB] if content.small else []
    with collection_lock(store):
        with store.database.transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO purged (digest) VALUES (?)",
                [(digest,) for digest in (*content.large, *content.small, *note)],
            )
        for oid in content.large:
            _remove_large(store, oid)
        if content.small:
            for repo in content.repos:
                # It may have been moved or removed since.
                now = store.catalog.by_key(repo.key)
                if now is not None:
                    _remove_small(store, now, content.small)


def _left(store: HubStore) -> set[str]:
    """Small content that was to go, and that git still holds somewhere."""
    rows = store.database.rows("SELECT digest FROM purged WHERE length(digest) = 40")
    digests = {row["digest"] for row in rows} - {NOTE_BLOB}
    if not digests:
        return set()
    repos = store.catalog.all()
    return {oid for oid in digests if any(_has(store, each, set(), {oid}) for each in repos)}


def _sha256(objects: Objects, oid: str) -> str:
    return hashlib.sha256(objects.blob(oid)).hexdigest()


def _has(store: HubStore, repo: RepoRecord, large: set[str], small: set[str]) -> bool:
    if store.catalog.linked(repo, large):
        return True
    with store.git(repo) as git:
        return any(ObjectID(oid.encode()) in git.objects.store for oid in small)


# Large files


def _remove_large(store: HubStore, oid: str) -> None:
    query = "SELECT xorb FROM xet_terms WHERE oid = ?"
    xorbs = [row["xorb"] for row in store.database.rows(query, oid)]
    # A xorb has chunks of other files, too: those are stored as they are, so that the xorb can go. And
    # nobody may refer to it from here on.
    with store.database.transaction() as connection:
        connection.executemany("DELETE FROM repo_xorbs WHERE xorb = ?", [(x,) for x in xorbs])
    for xorb in xorbs:
        query = "SELECT oid, content FROM xet_files JOIN xet_terms USING (oid) WHERE xorb = ?"
        for row in store.database.rows(query, xorb):
            if row["oid"] != oid:
                _store_plainly(store, FileInfo.decode(row["content"]))
    with store.lfs.lock():
        with store.database.transaction() as connection:
            connection.execute("DELETE FROM objects WHERE oid = ?", (oid,))
            unused = remove_unused(connection)
        store.lfs.remove(oid)
        for xorb in unused:
            store.xet.path(from_hex(xorb)).unlink(missing_ok=True)


def _store_plainly(store: HubStore, file: FileInfo) -> None:
    """Store a file that is made of chunks by its sha256 instead."""

    def forget(_: Pointer) -> None:
        store.database.write("DELETE FROM xet_files WHERE oid = ?", file.sha256)

    with store.lfs.receive(forget, Pointer(file.sha256, file.size)) as upload:
        for block in store.xet.content(file, 0, file.size):
            upload.write(block)


# Small files, and history


def _remove_small(store: HubStore, repo: RepoRecord, blobs: frozenset[str]) -> None:
    with store.git(repo) as git, git.lock():
        rewrite(git, dict.fromkeys(blobs, git.objects.write_blob(NOTE)))
        with store.git(repo) as after:
            found = Reachable(after.objects)
            found.add(after.refs.tips())
        prune(store.folder(repo), found.ids, math.inf)
