"""One bare git repository: a branch moves only when everything it will point to is on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from dulwich.objects import Commit, ObjectID, Tag
from dulwich.refs import Ref
from dulwich.repo import Repo
from filelock import FileLock

from ggez_hub.embedded.attributes import ATTRIBUTES_FILE, DEFAULT_ATTRIBUTES, Attributes
from ggez_hub.embedded.errors import (
    AlreadyExistsError,
    InvalidRequestError,
    PermissionDeniedError,
    RevisionNotFoundError,
    StaleParentError,
)
from ggez_hub.embedded.history import Signature, make_commit
from ggez_hub.embedded.lfs import Pointer
from ggez_hub.embedded.names import branch_ref, tag_ref
from ggez_hub.embedded.objects import Objects
from ggez_hub.embedded.paths import check_path
from ggez_hub.embedded.refs import Refs
from ggez_hub.embedded.snapshot import Snapshot
from ggez_hub.embedded.tree import TreeEditor

DEFAULT_BRANCH = "main"


@dataclass(frozen=True, slots=True)
class PutBlob:
    """Add or replace a file by a blob that has been stored already."""

    path: str
    blob: str


@dataclass(frozen=True, slots=True)
class PutPointer:
    """Add or replace a file that LFS holds."""

    path: str
    pointer: Pointer


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a file, or a folder with all it contains; with `folder`, nothing but a folder."""

    path: str
    folder: bool = False


Change = PutBlob | PutPointer | Remove


class GitRepository:
    """A bare repository in the folder `path`; to be used in a `with` block.

    `moving` is called before the default branch moves, under the lock.
    """

    def __init__(self, path: Path, moving: Callable[[], None] | None = None) -> None:
        self._path = path
        self._moving = moving
        self.objects = Objects(path)
        self.refs = Refs(path, self.objects)

    @classmethod
    def create(cls, path: Path) -> None:
        """Make an empty repository in a folder that does not exist yet."""
        path.mkdir(parents=True)
        Repo.init_bare(path, default_branch=DEFAULT_BRANCH.encode()).close()

    def __enter__(self) -> GitRepository:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.objects.close()

    def lock(self) -> FileLock:
        """Held by the one thread of one process that may change refs; a new lock for each call."""
        return FileLock(self._path / "hub.lock")

    def snapshot(self, revision: str = DEFAULT_BRANCH) -> Snapshot:
        """The files at a revision.

        Raises:
            RevisionNotFoundError: there is no such revision.
        """
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
        """Apply `changes` in order and move the branch; the id of the commit.

        The first commit of a repository starts with the default `.gitattributes`.

        Raises:
            InvalidPathError: a path may not be in a commit, or collides with another.
            EntryNotFoundError: what is to be removed is not there.
            StaleParentError: `parent` is given and the branch is elsewhere.
            RevisionNotFoundError: the branch does not exist, and others do.
        """
        ref = branch_ref(branch)
        with self.lock():
            head = self.refs.head(branch)
            if parent is not None and parent != head:
                raise StaleParentError
            if head is None and branch != DEFAULT_BRANCH:
                raise RevisionNotFoundError(f"Invalid rev id: {branch}")
            tree = self._edit(head, changes)
            parents = [head] if head else []
            oid = self.objects.write(make_commit(tree, parents, signature, message))
            self._move(ref, head, oid)
        return oid

    def create_branch(self, name: str, start: str | None) -> None:
        """Start a branch at a revision (None: the head of main).

        Raises:
            AlreadyExistsError: there is one of that name.
            RevisionNotFoundError: there is no revision `start`.
        """
        self._create(branch_ref(name), self.refs.resolve(start or DEFAULT_BRANCH))

    def delete_branch(self, name: str) -> None:
        """Remove a branch.

        Raises:
            PermissionDeniedError: it is the default branch.
            RevisionNotFoundError: there is none.
        """
        if name == DEFAULT_BRANCH:
            raise PermissionDeniedError(f"Cannot delete refs/heads/{name}: the branch is protected")
        self._delete(branch_ref(name))

    def create_tag(
        self, name: str, revision: str, annotation: tuple[Signature, str] | None
    ) -> None:
        """Tag a revision; with an annotation (who, and a message) the tag is an object of its own.

        Raises:
            AlreadyExistsError: there is one of that name.
            RevisionNotFoundError: there is no such revision.
        """
        target = self.refs.resolve(revision)
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
        self._create(ref, target)

    def delete_tag(self, name: str) -> None:
        """Remove a tag.

        Raises:
            RevisionNotFoundError: there is none.
        """
        self._delete(tag_ref(name))

    def squash(self, branch: str, message: str, signature: Signature) -> str:
        """Replace the history of a branch by one commit with the same files; its id.

        Raises:
            RevisionNotFoundError: there is no such branch.
        """
        ref = branch_ref(branch)
        with self.lock():
            head = self.refs.head(branch)
            if head is None:
                raise RevisionNotFoundError(f"Invalid rev id: {branch}")
            tree = self.objects.commit(head).tree.decode()
            oid = self.objects.write(make_commit(tree, [], signature, message))
            self._move(ref, head, oid)
        return oid

    def attributes(self, head: str | None) -> Attributes:
        """The rules for LFS at a commit; the default ones where there is no commit yet."""
        if head is None:
            return Attributes(DEFAULT_ATTRIBUTES)
        return Attributes(Snapshot(self.objects, head).text(ATTRIBUTES_FILE) or b"")

    def _edit(self, head: str | None, changes: Iterable[Change]) -> str:
        editor = TreeEditor(self.objects, self.objects.commit(head).tree.decode() if head else None)
        if head is None:
            editor.put(ATTRIBUTES_FILE, self.objects.write_blob(DEFAULT_ATTRIBUTES))
        pointers = set()
        for change in changes:
            check_path(change.path)
            pointers.discard(change.path)
            match change:
                case PutBlob(path, blob):
                    editor.put(path, blob)
                case PutPointer(path, pointer):
                    editor.put(path, self.objects.write_blob(pointer.encode()))
                    pointers.add(path)
                case Remove(path, folder):
                    editor.remove(path, folder=folder)
        self._track(editor, pointers)
        return editor.write()

    def _track(self, editor: TreeEditor, pointers: set[str]) -> None:
        blob = editor.find(ATTRIBUTES_FILE)
        attributes = Attributes(self.objects.blob(blob) if blob else b"")
        present = sorted(path for path in pointers if editor.find(path) is not None)
        content = attributes.including(present)
        if content != attributes.content:
            editor.put(ATTRIBUTES_FILE, self.objects.write_blob(content))

    def _move(self, ref: Ref, old: str | None, new: str) -> None:
        if self._moving is not None and ref == branch_ref(DEFAULT_BRANCH):
            self._moving()
        self.refs.swap(ref, old, new)

    def _create(self, ref: Ref, target: str) -> None:
        name = ref.decode()
        with self.lock():
            if self.refs.get(ref) is not None:
                raise AlreadyExistsError(f"Reference {name} already exists")
            try:
                self.refs.swap(ref, None, target)
            except StaleParentError:
                raise InvalidRequestError(f"{name} cannot exist beside the other names") from None

    def _delete(self, ref: Ref) -> None:
        with self.lock():
            if self.refs.get(ref) is None:
                raise RevisionNotFoundError(f"Invalid rev id: {ref.decode()}")
            self.refs.delete(ref)
