"""The large files of a repo, as its history names them, and their removal from it."""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterator
from operator import itemgetter
from typing import Final, NamedTuple

from dulwich.objects import parse_tree

from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.lfs import Pointer
from ggez_hub.embedded.objects import decode
from ggez_hub.embedded.repository import DEFAULT_BRANCH, GitRepository
from ggez_hub.embedded.rewriting import rewrite
from ggez_hub.embedded.store import HubStore

_SHA1_BYTES: Final = 20
_LONGEST_POINTER: Final = 200


class Mention(NamedTuple):
    """Where a large file is named first: its path, a ref that leads there, and when, in seconds since 1970."""

    oid: str
    path: str
    ref: str
    date: int


def mentions(git: GitRepository) -> dict[str, Mention]:
    """The large files that the refs of a repo lead to, by the git id of their pointer."""
    found: dict[str, Mention] = {}
    seen: set[str] = set()
    for date, tree, ref in sorted(_trees(git), key=itemgetter(0)):
        for blob, path in _blobs(git, tree, seen):
            data = git.objects.short_blob(blob, _LONGEST_POINTER)
            pointer = Pointer.parse(data) if data is not None else None
            if pointer is not None:
                found[blob] = Mention(pointer.oid, path, ref, date)
    return found


def _trees(git: GitRepository) -> Iterator[tuple[int, str, str]]:
    """When each commit was made, its tree, and a ref that leads to it: main where it does."""
    main = f"refs/heads/{DEFAULT_BRANCH}"
    known: set[str] = set()
    for named in sorted(git.refs.named("refs/"), key=lambda each: (each.ref != main, each.ref)):
        waiting = [named.commit]
        while waiting:
            oid = waiting.pop()
            if oid not in known:
                known.add(oid)
                commit = git.objects.commit(oid)
                yield commit.commit_time, commit.tree.decode(), named.ref
                waiting += [parent.decode() for parent in commit.parents]


def _blobs(git: GitRepository, tree: str, seen: set[str]) -> Iterator[tuple[str, str]]:
    """The blobs of a tree that were not seen before, with their paths."""
    waiting = [(tree, "")]
    while waiting:
        oid, prefix = waiting.pop()
        if oid in seen:
            continue
        seen.add(oid)
        for name, mode, sha in parse_tree(git.objects.raw(oid), _SHA1_BYTES):
            path, below = prefix + decode(name), sha.decode()
            if stat.S_ISDIR(mode):
                waiting.append((below, f"{path}/"))
            elif stat.S_ISREG(mode) and below not in seen:
                seen.add(below)
                yield below, path


def remove(
    store: HubStore, repo: RepoRecord, oids: Collection[str], *, rewrite_history: bool
) -> None:
    """Remove large files from a repo for good; with `rewrite_history` what names them, too.

    Commits that named them, and all after these, then have other ids; the old ones are found until garbage is
    collected. After a kill the same call finishes it.
    """
    with store.git(repo) as git, git.lock():
        if rewrite_history:
            gone = {blob for blob, mention in mentions(git).items() if mention.oid in oids}
            rewrite(git, dict.fromkeys(gone))
        # Under the lock: a commit that comes now finds that they are not held.
        store.remove_large(repo, oids)
    store.quotas.grew(repo, git.objects.written)
