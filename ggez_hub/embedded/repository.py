"""One bare git repository: a branch moves only when everything it will point to is on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from dulwich.objects import Commit, ObjectID, Tag, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo
from filelock import FileLock

from ggez_hub.atomic_files import sync
from ggez_hub.embedded.changes import Change, PutBlob, edited_tree
from ggez_hub.embedded.commits import Signature, Snapshot, make_commit
from ggez_hub.embedded.errors import (
    AlreadyExistsError,
    InvalidRequestError,
    PermissionDeniedError,
    RevisionNotFoundError,
    StaleParentError,
)
from ggez_hub.embedded.history import first_parents
from ggez_hub.embedded.lfs import ATTRIBUTES_FILE, DEFAULT_ATTRIBUTES, Attributes
from ggez_hub.embedded.names import ALL_TYPES, branch_ref, tag_ref, target_ref
from ggez_hub.embedded.objects import TEMPORARY_PACK, Objects
from ggez_hub.embedded.reachable import Reachable
from ggez_hub.embedded.refs import Refs

DEFAULT_BRANCH = "main"
# Repositories on their way in and out.
_NEW, _OLD = ".ggez-new-", ".ggez-old-"


class RepoFolders:
    """The folders of the git repositories of a store: each is complete or absent."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, kind: str, namespace: str, name: str) -> Path:
        """Where a repo is, or would be."""
        # Lower case, because names that differ only in case are one name in the catalog.
        return self._root / f"{kind}s" / namespace.lower() / f"{name.lower()}.git"

    def create(self, path: Path) -> None:
        """Make an empty repository in place of what a killed creation may have left."""
        self.discard(path)
        with tempfile.TemporaryDirectory(dir=self._root, prefix=_NEW) as temporary:
            made = Path(temporary) / "git"
            Repo.init_bare(made, mkdir=True, default_branch=DEFAULT_BRANCH.encode()).close()
            path.parent.mkdir(parents=True, exist_ok=True)
            made.replace(path)

    def move(self, source: Path, target: Path) -> None:
        """Rename a repository, in place of what a killed creation may have left; done already is fine."""
        if source.exists() and source != target:
            self.discard(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
            sync(target.parent)

    def discard(self, path: Path) -> None:
        """Remove a repository; absent is fine."""
        if path.exists():
            with tempfile.TemporaryDirectory(dir=self._root, prefix=_OLD) as temporary:
                path.replace(Path(temporary) / "git")

    def all(self) -> Iterator[Path]:
        """The repositories that are there: the root may be a folder of other things, too."""
        for kind in ALL_TYPES:
            yield from (self._root / f"{kind}s").glob("*/*.git")

    def interrupted(self) -> list[Path]:
        """The folders of creations and removals that have not ended, or were killed."""
        return [*self._root.glob(f"{_NEW}*"), *self._root.glob(f"{_OLD}*")]

    def leftovers(self) -> Iterator[Path]:
        """The packs of commits that have not ended, or were killed."""
        for folder in self.all():
            yield from folder.glob(f"objects/pack/{TEMPORARY_PACK}*")


class GitRepository(AbstractContextManager["GitRepository"]):
    """A bare repository in the folder `path`; to be used in a `with` block.

    `before_move` is called before the default branch moves, under the lock; `moved` with the name of a
    ref that did, its old and its new id (None where it is absent). `held` are those of the LFS objects that
    the repo has; `refuse` raises for blobs that may not come.
    """

    def __init__(
        self,
        path: Path,
        before_move: Callable[[], None] | None = None,
        moved: Callable[[str, str | None, str | None], None] = lambda ref, old, new: None,
        held: Callable[[Iterable[str]], Collection[str]] = frozenset,
        refuse: Callable[[Iterable[str]], None] = lambda blobs: None,
    ) -> None:
        self._path = path
        self._before_move = before_move
        self._moved = moved
        self._held = held
        self._refuse = refuse
        self.objects = Objects(path)
        self.refs = Refs(path, self.objects)

    def __exit__(self, *_: object) -> None:
        self.objects.close()

    def lock(self) -> FileLock:
        """Held by the one thread of one process that may change refs; a new lock for each call."""
        return FileLock(self._path / "hub.lock")

    def snapshot(self, revision: str = DEFAULT_BRANCH) -> Snapshot:
        """The files at a revision; raises RevisionNotFoundError."""
        return Snapshot(self.objects, self.refs.resolve(revision))

    def commit(
        self,
        branch: str,
        changes: Iterable[Change],
        *,
        message: str,
        signature: Signature,
        parent: str | None = None,
    ) -> str:
        """Apply `changes` in order and move the branch or pull request; the id of the commit.

        The first commit of a repository starts with the default `.gitattributes`. Raises
        InvalidPathError, EntryNotFoundError, StaleParentError, RevisionNotFoundError.
        """
        ref = target_ref(branch)
        with self.lock():
            head = self.refs.head(branch)
            if parent is not None and parent != head:
                raise StaleParentError
            if head is None and branch != DEFAULT_BRANCH:
                raise RevisionNotFoundError.of(branch)
            oid = self.write_commit(head, changes, message=message, signature=signature)
            self.move(ref, head, oid)
        return oid

    def head(self, branch: str, *, expected: str | None = None) -> str:
        """The commit at the end of a branch or pull request.

        Raises RevisionNotFoundError, StaleParentError.
        """
        head = self.refs.head(branch)
        if head is None:
            raise RevisionNotFoundError.of(branch)
        if expected not in {None, head}:
            raise StaleParentError
        return head

    def write_commit(
        self, head: str | None, changes: Iterable[Change], *, message: str, signature: Signature
    ) -> str:
        """Store a commit that applies `changes` to the commit `head`; no ref moves. Its id.

        Raises InvalidPathError, EntryNotFoundError.
        """
        tree = edited_tree(self.objects, head, self._allowed(changes))
        return self.write_tree_commit(tree, [head] if head else [], message, signature)

    def _allowed(self, changes: Iterable[Change]) -> Iterator[Change]:
        for change in changes:
            if isinstance(change, PutBlob):
                self._refuse([change.blob])
            yield change

    def write_tree_commit(
        self, tree: str, parents: Iterable[str], message: str, signature: Signature
    ) -> str:
        """Store a commit of a tree; no ref moves. Its id."""
        return self.objects.write(make_commit(tree, parents, signature, message))

    def move(self, ref: Ref, old: str | None, new: str) -> None:
        """Point a ref from `old` (None: it must not exist) to `new`; the caller holds the lock.

        Raises StaleParentError.
        """
        if self._before_move is not None and ref == branch_ref(DEFAULT_BRANCH):
            self._before_move()
        self.refs.swap(ref, old, new)
        self._moved(ref.decode(), old, new)

    def create_branch(self, name: str, start: str | None, *, overwrite: bool = False) -> None:
        """Start a branch at a revision (None: the head of main).

        With `overwrite` a branch of that name is moved there; it stays where it is if `start` is None.
        Raises AlreadyExistsError, RevisionNotFoundError.
        """
        ref = branch_ref(name)
        with self.lock():
            old = self.refs.head(name) if overwrite else None
            if old is not None:
                if start is not None:
                    target = self.refs.resolve(start)
                    self._require_complete(target)
                    self.move(ref, old, target)
                return
        target = self.refs.resolve(start or DEFAULT_BRANCH)
        self._create(ref, target, target)

    def empty_commit(self, signature: Signature) -> str:
        """Store a commit without files and ancestors; no ref moves. Its id."""
        oid = self.write_tree_commit(self.objects.write(Tree()), [], "initial commit", signature)
        self.objects.flush()
        return oid

    def delete_branch(self, name: str) -> None:
        """Remove a branch.

        Raises RevisionNotFoundError, PermissionDeniedError if it is the default branch.
        """
        if name == DEFAULT_BRANCH:
            raise PermissionDeniedError(f"Cannot delete refs/heads/{name}: the branch is protected")
        self._delete(branch_ref(name))

    def create_tag(
        self, name: str, revision: str, annotation: tuple[Signature, str] | None = None
    ) -> None:
        """Tag a revision; with an annotation (who, and a message) the tag is an object of its own.

        Raises AlreadyExistsError, RevisionNotFoundError.
        """
        target = commit = self.refs.resolve(revision)
        ref = tag_ref(name)
        if annotation is not None:
            signature, message = annotation
            tag = Tag()
            tag.name = name.encode()
            tag.object = (Commit, ObjectID(target.encode()))
            tag.tagger = signature.identity
            tag.tag_time = signature.date
            tag.tag_timezone = 0
            tag.message = (message.rstrip("\n") + "\n").encode(errors="replace")
            target = self.objects.write(tag)
        self._create(ref, target, commit)

    def delete_tag(self, name: str) -> None:
        """Remove a tag; raises RevisionNotFoundError."""
        self._delete(tag_ref(name))

    def squash(self, branch: str, message: str, signature: Signature) -> str:
        """Replace the history of a branch or pull request by one commit with the same files; its id.

        Raises RevisionNotFoundError.
        """
        with self.lock():
            head = self.head(branch)
            tree = self.objects.commit(head).tree.decode()
            oid = self.write_tree_commit(tree, [], message, signature)
            self.move(target_ref(branch), head, oid)
        return oid

    def attributes(self, head: str | None) -> Attributes:
        """The rules for LFS at a commit; the default ones where there is no commit yet."""
        if head is None:
            return Attributes(DEFAULT_ATTRIBUTES)
        return Attributes(Snapshot(self.objects, head).text(ATTRIBUTES_FILE) or b"")

    def _create(self, ref: Ref, target: str, commit: str) -> None:
        """Make a ref to a commit, or to a tag of it."""
        name = ref.decode()
        with self.lock():
            self._require_complete(commit)
            if self.refs.exists(ref):
                raise AlreadyExistsError(f"Reference {name} already exists")
            try:
                self.refs.swap(ref, None, target)
                self._moved(name, None, target)
            except StaleParentError:
                raise InvalidRequestError(f"{name} cannot exist beside the other names") from None

    def _require_complete(self, target: str) -> None:
        """Raise RevisionNotFoundError if a commit that no ref leads to has been pruned, also in part."""
        head = self.refs.head(DEFAULT_BRANCH)
        main = first_parents(self.objects, head) if head else ()
        if target not in self.refs.tips() and not any(link.commit == target for link in main):
            objects = Objects(self._path)
            found = Reachable(objects)
            try:
                found.add([target])
            except KeyError:
                raise RevisionNotFoundError.of(target) from None
            finally:
                objects.close()
            if found.pointers - set(self._held(found.pointers)):
                raise RevisionNotFoundError.of(target)

    def _delete(self, ref: Ref) -> None:
        with self.lock():
            if not self.refs.exists(ref):
                raise RevisionNotFoundError.of(ref.decode())
            old = self.refs.values().get(ref.decode())
            self.refs.delete(ref)
            self._moved(ref.decode(), old, None)
