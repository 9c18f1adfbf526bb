"""The commits of a repository: reading them, and making one that is the same on every machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from dulwich.objects import Commit, ObjectID

from ggez_hub.embedded.objects import Objects
from ggez_hub.embedded.snapshot import locate

_UNSAFE: Final = re.compile(r"[<>\x00-\x1f\x7f]+")
_IDENTITY: Final = re.compile(r"(?P<name>.*?) ?<(?P<email>[^<>]*)>")


@dataclass(frozen=True, slots=True)
class Signature:
    """Who commits, and when: seconds since 1970, always in UTC."""

    name: str
    email: str
    date: int

    @property
    def identity(self) -> bytes:
        """`Name <email>`, without the characters that would break a commit object."""
        name = _UNSAFE.sub(" ", self.name).strip() or "unknown"
        email = _UNSAFE.sub("", self.email).strip()
        return f"{name} <{email}>".encode()


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """A commit as it is listed."""

    oid: str
    author: str
    date: int
    title: str
    message: str


def make_commit(tree: str, parents: Iterable[str], signature: Signature, message: str) -> Commit:
    """A commit that depends on nothing but the arguments: no clock, no time zone, no encoding."""
    commit = Commit()
    commit.tree = ObjectID(tree.encode())
    commit.parents = [ObjectID(parent.encode()) for parent in parents]
    commit.author = commit.committer = signature.identity
    commit.author_time = commit.commit_time = signature.date
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = (message.replace("\x00", "").rstrip("\n") + "\n").encode(errors="replace")
    return commit


def record(commit: Commit) -> CommitRecord:
    """What a listing shows of a commit."""
    message = commit.message.decode(errors="replace").strip("\n")
    title, _, rest = message.partition("\n")
    identity = _IDENTITY.match(commit.author.decode(errors="replace"))
    author = identity["name"] if identity else "unknown"
    return CommitRecord(commit.id.decode(), author, commit.commit_time, title, rest.strip("\n"))


def ancestry(objects: Objects, start: str) -> Iterator[Commit]:
    """A commit and its ancestors along the first parents, newest first."""
    oid: str | None = start
    while oid is not None:
        commit = objects.commit(oid)
        yield commit
        oid = commit.parents[0].decode() if commit.parents else None


def last_changes(objects: Objects, start: str, paths: Iterable[str]) -> dict[str, CommitRecord]:
    """For each path, the newest commit up to `start` that changed it."""
    pending = set(paths)
    found: dict[str, CommitRecord] = {}
    for commit in ancestry(objects, start):
        if not pending:
            break
        parent = (
            objects.commit(commit.parents[0].decode()).tree.decode() if commit.parents else None
        )
        tree = commit.tree.decode()
        for path in list(pending):
            before = locate(objects, parent, path) if parent else None
            if before != locate(objects, tree, path):
                found[path] = record(commit)
                pending.discard(path)
    return found
