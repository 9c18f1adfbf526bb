"""The changes that a commit is made of, and the tree that they lead to."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dulwich.objects import ObjectID, Tree

from ggez_hub.embedded.attributes import (
    ATTRIBUTES_FILE,
    DEFAULT_ATTRIBUTES,
    SAMPLE_BYTES,
    Attributes,
)
from ggez_hub.embedded.errors import EntryNotFoundError, InvalidPathError
from ggez_hub.embedded.lfs import Pointer
from ggez_hub.embedded.names import check_path, collision_key
from ggez_hub.embedded.objects import Objects

FILE_MODE: Final = 0o100644
FOLDER_MODE: Final = 0o040000

_Leaf = tuple[int, str]


class _Folder:
    """One folder: a child is its (mode, object id), or a _Folder once it has been opened."""

    def __init__(self, children: dict[str, _Leaf | _Folder], original: str | None) -> None:
        self.children = children
        self.original = original
        self.changed = original is None


class TreeEditor:
    """A tree to which files are added and from which they are removed."""

    def __init__(self, objects: Objects, tree: str | None) -> None:
        self._objects = objects
        self._root = self._load(tree)

    def find(self, path: str) -> str | None:
        """The object id of the file at `path`, or None."""
        *parents, name = path.split("/")
        folder: _Folder | None = self._root
        for parent in parents:
            folder = self._open(folder, parent)
            if folder is None:
                return None
        child = folder.children.get(name) if folder else None
        return child[1] if isinstance(child, tuple) and not stat.S_ISDIR(child[0]) else None

    def put(self, path: str, blob: str) -> None:
        """Add or replace the file at `path`.

        Raises:
            InvalidPathError: a parent of `path` is a file, or `path` is a folder.
        """
        *parents, name = path.split("/")
        folder = self._root
        for depth, parent in enumerate(parents, 1):
            folder.changed = True
            below = self._open(folder, parent)
            if below is None:
                if parent in folder.children:
                    raise InvalidPathError(
                        f"Invalid path {path!r}: {'/'.join(parents[:depth])!r} is a file"
                    )
                below = folder.children[parent] = _Folder({}, None)
            folder = below
        if self._open(folder, name) is not None:
            raise InvalidPathError(f"Invalid path {path!r}: it is a folder")
        folder.changed = True
        folder.children[name] = (FILE_MODE, blob)

    def remove(self, path: str, *, folder: bool) -> None:
        """Remove the file or the whole folder at `path`; with `folder`, nothing but a folder.

        Raises:
            EntryNotFoundError: there is none.
        """
        *parents, name = path.split("/")
        trail = [self._root]
        for parent in parents:
            below = self._open(trail[-1], parent)
            if below is None:
                break
            trail.append(below)
        found = len(trail) == len(parents) + 1 and name in trail[-1].children
        if not found or (folder and self._open(trail[-1], name) is None):
            raise EntryNotFoundError(
                f"there is no {'folder' if folder else 'file'} {path!r} to delete"
            )
        del trail[-1].children[name]
        for touched in trail:
            touched.changed = True

    def write(self) -> str:
        """Store the folders that changed; the id of the root.

        Raises:
            InvalidPathError: two names of a folder differ only in case or Unicode form.
        """
        return self._write(self._root) or self._objects.write(Tree())

    def _load(self, oid: str | None) -> _Folder:
        children: dict[str, _Leaf | _Folder] = {}
        if oid is not None:
            for entry in self._objects.tree(oid).items():
                children[decode(entry.path)] = (entry.mode, entry.sha.decode())
        return _Folder(children, oid)

    def _open(self, folder: _Folder | None, name: str) -> _Folder | None:
        child = folder.children.get(name) if folder else None
        if folder is None or child is None or isinstance(child, _Folder):
            return child if isinstance(child, _Folder) else None
        mode, oid = child
        if not stat.S_ISDIR(mode):
            return None
        opened = folder.children[name] = self._load(oid)
        return opened

    def _write(self, folder: _Folder) -> str | None:
        """The id of a folder, None for an empty one: git has no empty folders."""
        if not folder.changed:
            return folder.original
        tree = Tree()
        seen: dict[str, str] = {}
        for name, child in folder.children.items():
            mode, oid = (FOLDER_MODE, self._write(child)) if isinstance(child, _Folder) else child
            if oid is None:
                continue
            twin = seen.setdefault(collision_key(name), name)
            if twin != name:
                raise InvalidPathError(
                    f"{name!r} and {twin!r} would be one file on a case-insensitive file system"
                )
            tree.add(encode(name), mode, ObjectID(oid.encode()))
        return self._objects.write(tree) if len(tree) else None


def decode(name: bytes) -> str:
    """A name in a tree as text; git does not demand UTF-8, so bytes survive the round trip."""
    return name.decode(errors="surrogateescape")


def encode(name: str) -> bytes:
    """The reverse of `decode`."""
    return name.encode(errors="surrogateescape")


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


def edited_tree(objects: Objects, head: str | None, changes: Iterable[Change]) -> str:
    """The tree of the commit `head` after `changes`, in their order; the id of the tree.

    Without a head it starts from the default `.gitattributes`. Each file that LFS holds is tracked there.

    Raises:
        InvalidPathError: a path may not be in a commit, or collides with another.
        EntryNotFoundError: what is to be removed is not there.
    """
    editor = TreeEditor(objects, objects.commit(head).tree.decode() if head else None)
    if head is None:
        editor.put(ATTRIBUTES_FILE, objects.write_blob(DEFAULT_ATTRIBUTES))
    pointers = set()
    for change in changes:
        check_path(change.path)
        pointers.discard(change.path)
        match change:
            case PutBlob(path, blob):
                editor.put(path, blob)
            case PutPointer(path, pointer):
                editor.put(path, objects.write_blob(pointer.encode()))
                pointers.add(path)
            case Remove(path, folder):
                editor.remove(path, folder=folder)
    _track(objects, editor, pointers)
    return editor.write()


def _track(objects: Objects, editor: TreeEditor, pointers: set[str]) -> None:
    blob = editor.find(ATTRIBUTES_FILE)
    attributes = Attributes(objects.blob(blob) if blob else b"")
    present = sorted(path for path in pointers if editor.find(path) is not None)
    content = attributes.including(present)
    if content != attributes.content:
        editor.put(ATTRIBUTES_FILE, objects.write_blob(content))


def places(
    files: Mapping[str, bytes | Path],
    attributes: Attributes,
    objects: Objects,
    keep: Callable[[bytes | Path], Pointer],
) -> Iterator[Change]:
    """The change that puts each file, by path, where it belongs; `keep` stores a large file.

    Raises:
        InvalidPathError: a path may not be in a commit.
    """
    for path, source in files.items():
        check_path(path)
        size, sample = _look(source)
        if attributes.wants_lfs(path, size, sample):
            yield PutPointer(path, keep(source))
        else:
            data = source if isinstance(source, bytes) else source.read_bytes()
            yield PutBlob(path, objects.write_blob(data))


def _look(source: bytes | Path) -> tuple[int, bytes]:
    """The size of a file, and its beginning."""
    if isinstance(source, bytes):
        return len(source), source[:SAMPLE_BYTES]
    with source.open("rb") as file:
        return source.stat().st_size, file.read(SAMPLE_BYTES)
