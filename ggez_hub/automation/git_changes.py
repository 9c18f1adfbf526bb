"""Changes read from git's objects, without a checkout: of a pull request, and of the default branch."""

from __future__ import annotations

import re
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dulwich.diff_tree import TreeChange, tree_changes
from dulwich.graph import find_merge_base
from dulwich.object_store import BaseObjectStore, tree_lookup_path
from dulwich.objects import Blob, Commit, ObjectID, Tree, TreeEntry
from dulwich.refs import Ref
from dulwich.repo import Repo

from ggez_hub.cards import BadCard, CardDocument, read_card
from ggez_hub.cards.readme import MAX_CARD_BYTES
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.hub.listings import COMMIT
from ggez_hub.regions.kof import SHIPPED_RELEASE, releases
from ggez_hub.regions.kof_import import import_release

# Of a card or a recipe.
MAX_FILE = MAX_CARD_BYTES
REFERENCE = "refs/ggez/default"
REGULAR = stat.S_IFREG | 0o644


@dataclass(frozen=True)
class Change:
    """A file that the contribution changes.

    `text` is None where it is deleted, not a regular file, too large, or not UTF-8.
    """

    path: str
    kind: Literal["add", "modify", "delete"]
    mode: int
    size: int
    text: str | None
    before: str | None

    @property
    def regular(self) -> bool:
        """Whether it is a plain file: not a link, not a sub-module, not executable."""
        return self.mode == REGULAR


@dataclass(frozen=True)
class Contribution:
    """The changes between the merge base and the head of a pull request."""

    base: str
    head: str
    changes: tuple[Change, ...]


def _fetch(repository: Path, source: str, reference: str) -> None:
    """Fetch commits from origin, without a checkout; raises GgezError."""
    done = subprocess.run(
        ["git", "fetch", "--quiet", "--no-tags", "--force", "origin", f"{source}:{reference}"],  # noqa: S607
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise GgezError(f"{source} cannot be fetched: {done.stderr.strip()}")


def fetch_head(repository: Path, number: int, head: str) -> None:
    """Fetch the commits of a pull request; raises GgezError if its head is not `head` any more."""
    reference = f"refs/ggez/pull/{number}"
    _fetch(repository, f"refs/pull/{number}/head", reference)
    with Repo(str(repository)) as repo:
        found = repo.refs[Ref(reference.encode())].decode()
    if found != head:
        raise GgezError(
            f"pull request {number} has moved on: it is at {found[:12]}, this run is for "
            f"{head[:12]}",
            "A run for the new commit has been started.",
        )


def read_contribution(repository: Path, base: str, head: str) -> Contribution:
    """What `head` changes since it left `base`; raises GgezError."""
    with Repo(str(repository)) as repo:
        store = repo.object_store
        sides = [ObjectID(base.encode()), ObjectID(head.encode())]
        if missing := [side.decode() for side in sides if side not in store]:
            raise GgezError(f"{repository} does not have the commit {missing[0][:12]}")
        forks = find_merge_base(repo, sides)
        if not forks:
            raise GgezError(f"{head[:12]} and {base[:12]} have no commit in common")
        old, new = (_commit(store, commit).tree for commit in (forks[0], sides[1]))
        changes = tuple(_change(store, found) for found in tree_changes(store, old, new))
    return Contribution(forks[0].decode(), head, changes)


def _commit(store: BaseObjectStore, commit: ObjectID) -> Commit:
    found = store[commit]
    if not isinstance(found, Commit):
        raise GgezError(f"{commit.decode()} is not a commit")
    return found


def _change(store: BaseObjectStore, found: TreeChange) -> Change:
    after, before = found.new, found.old
    path = (after.path if after and after.path else before.path if before else None) or b""
    size, text = _content(store, after)
    return Change(
        path=path.decode("utf-8", "backslashreplace"),
        kind="delete" if after is None else "add" if before is None else "modify",
        mode=(after.mode or 0) if after else 0,
        size=size,
        text=text,
        before=_content(store, before)[1],
    )


def _content(store: BaseObjectStore, entry: TreeEntry | None) -> tuple[int, str | None]:
    """Size and text of a file."""
    # A sub-module's commit is in another repository.
    if entry is None or entry.sha is None or entry.sha not in store:
        return 0, None
    blob = store[entry.sha]
    size = blob.raw_length()
    if not isinstance(blob, Blob) or size > MAX_FILE or entry.mode != REGULAR:
        return size, None
    try:
        return size, blob.data.decode("utf-8")
    except UnicodeDecodeError:
        return size, None


def changed_since(repository: Path, paths: Iterable[str]) -> frozenset[str]:
    """Those of `paths` that differ on origin's default branch from `repository`, or are gone there.

    Raises GgezError.
    """
    _fetch(repository, "HEAD", REFERENCE)
    with Repo(str(repository)) as repo:
        now = repo[repo.refs[Ref(REFERENCE.encode())]]
        assert isinstance(now, Commit)  # noqa: S101 - a branch is at a commit
        return frozenset(
            path
            for path in paths
            if _content_at(repo, now, path) != (repository / path).read_bytes()
        )


def _content_at(repo: Repo, commit: Commit, path: str) -> bytes | None:
    try:
        _, sha = tree_lookup_path(repo.__getitem__, commit.tree, path.encode())
    except KeyError:
        return None
    found = repo[sha]
    return found.data if isinstance(found, Blob) else None


# What decides an answer: all of the program but what only shows, serves or trains.
DECISIVE = ("ggez_hub", "recipes", ".github/requirements/eval.txt")
BESIDE = frozenset({b"charts", b"cli", b"embedded", b"humans", b"site", b"training"})


def same_evaluator(repository: Path, evaluator: str) -> bool:
    """Whether the program at a commit of the clone would answer as that of its head does."""
    with Repo(str(repository)) as repo:
        wanted = ObjectID(evaluator.encode())
        if not COMMIT.fullmatch(evaluator) or wanted not in repo.object_store:
            return False
        before = _commit(repo.object_store, wanted)
        now = _commit(repo.object_store, repo.head())
        return all(_decisive(repo, before, path) == _decisive(repo, now, path) for path in DECISIVE)


def _decisive(repo: Repo, commit: Commit, path: str) -> object:
    try:
        _, sha = tree_lookup_path(repo.__getitem__, commit.tree, path.encode())
    except KeyError:
        return None
    found = repo[sha]
    if not isinstance(found, Tree):
        return sha
    return [entry for entry in found.items() if entry.path not in BESIDE]


FOLDER = "kof"
NAME = re.compile(r"(19|20)\d\d")


def import_committed(repository: Path) -> str:
    """Import the registry's releases on this machine; returns the newest one's name.

    Raises UsageProblem for a file that is not named for a year, or not in KOF's format.
    """
    known = {release.name for release in releases()}
    names = {SHIPPED_RELEASE}
    for file in sorted((repository / FOLDER).glob("*.csv")):
        if not NAME.fullmatch(file.stem):
            raise UsageProblem(
                f"{file} is not named for a release",
                f"A release is in {FOLDER}/<year>.csv, as KOF names it.",
            )
        if file.stem not in known:
            import_release(file, file.stem)
        names.add(file.stem)
    return max(names)


def accepted_cards(folder: Path) -> dict[str, CardDocument]:
    """The accepted cards in the repository at `folder`, by path; invalid ones are left out."""
    cards = {}
    for path in sorted((folder / "cards").glob("*/*/*.md")):
        try:
            cards[path.relative_to(folder).as_posix()] = read_card(path)
        except BadCard:
            continue
    return cards
