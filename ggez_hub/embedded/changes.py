"""The changes that a commit is made of, and the git tree that they lead to."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dulwich.objects import ObjectID, Tree

from ggez_hub.embedded.errors import EntryNotFoundError, InvalidPathError
from ggez_hub.embedded.lfs import (
    ATTRIBUTES_FILE,
    DEFAULT_ATTRIBUTES,
    SAMPLE_BYTES,
    Attributes,
    Pointer,
)
from ggez_hub.embedded.names import check_path, collision_key
from ggez_hub.embedded.objects import Objects, decode, encode

FILE_MODE: Final = 0o100644
FOLDER_MODE: Final = 0o040000


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


def put_files(
    files: Mapping[str, bytes | Path],
    attributes: Attributes,
    objects: Objects,
    keep: Callable[[bytes | Path], Pointer],
) -> Iterator[Change]:
    """The changes that put files, by path, into git or LFS; `keep` stores a large file.

    Raises InvalidPathError.
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


def edited_tree(objects: Objects, head: str | None, changes: Iterable[Change]) -> str:
    """The tree of the commit `head` after `changes`, in their order; the id of the tree.

    Without a head it starts from the default `.gitattributes`. Each file that LFS holds is tracked
    there. Raises InvalidPathError, EntryNotFoundError.
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
    rules = editor.find(ATTRIBUTES_FILE)
    attributes = Attributes(objects.blob(rules) if rules else b"")
    content = attributes.including(sorted(path for path in pointers if editor.find(path)))
    if content != attributes.content:
        editor.put(ATTRIBUTES_FILE, objects.write_blob(content))
    return editor.write()


class TreeEditor:
    """A git tree in which files are put and removed: only folders that change are read and written."""

    def __init__(self, objects: Objects, tree: str | None) -> None:
        self._objects = objects
        # Folders that were read, by path: mode and object id of each name. Those of folders that change
        # get their new ids in `write`.
        self._folders: dict[str, dict[str, tuple[int, str]]] = {"": self._load(tree)}
        self._changed: set[str] = set()

    def find(self, path: str) -> str | None:
        """The object id of the file at `path`, or None."""
        mode, oid = self.entry(path) or (FOLDER_MODE, "")
        return None if stat.S_ISDIR(mode) else oid

    def entry(self, path: str) -> tuple[int, str] | None:
        """Mode and object id of the file or folder at `path`, or None."""
        parent, _, name = path.rpartition("/")
        return (self._folder(parent) or {}).get(name)

    def put(self, path: str, blob: str) -> None:
        """Add or replace the file at `path`. Raises InvalidPathError."""
        parent, _, name = path.rpartition("/")
        self._make(parent)
        if self._folder(path) is not None:
            raise InvalidPathError(f"Invalid path {path!r}: it is a folder")
        self._folders[parent][name] = (FILE_MODE, blob)

    def remove(self, path: str, *, folder: bool) -> None:
        """Remove the file or the folder at `path`; with `folder`, nothing but a folder.

        Raises EntryNotFoundError.
        """
        parent, _, name = path.rpartition("/")
        siblings = self._folder(parent) or {}
        is_folder = self._folder(path) is not None
        if name not in siblings or (folder and not is_folder):
            raise EntryNotFoundError(
                f"there is no {'folder' if folder else 'file'} {path!r} to delete"
            )
        self._make(parent)
        del siblings[name]
        if is_folder:
            below = {known for known in self._folders if f"{known}/".startswith(f"{path}/")}
            self._changed -= below
            for known in below:
                del self._folders[known]

    def write(self) -> str:
        """Store the folders that changed; the id of the root. Raises InvalidPathError."""
        deepest_first = sorted(self._changed - {""}, key=lambda path: -path.count("/"))
        for path in deepest_first:
            parent, _, name = path.rpartition("/")
            if names := self._folders[path]:
                self._folders[parent][name] = (FOLDER_MODE, self._write(names))
            else:
                # Git has no empty folders.
                del self._folders[parent][name]
        return self._write(self._folders[""])

    def _load(self, oid: str | None) -> dict[str, tuple[int, str]]:
        items = self._objects.tree(oid).items() if oid else ()
        return {decode(item.path): (item.mode, item.sha.decode()) for item in items}

    def _folder(self, path: str) -> dict[str, tuple[int, str]] | None:
        """The names in the folder at `path`, None where there is no folder."""
        if path not in self._folders:
            parent, _, name = path.rpartition("/")
            mode, oid = (self._folder(parent) or {}).get(name, (FILE_MODE, ""))
            if not stat.S_ISDIR(mode):
                return None
            self._folders[path] = self._load(oid)
        return self._folders[path]

    def _make(self, path: str) -> None:
        """Have the folder at `path` and its parents written; it is made where it is missing."""
        if path in self._changed:
            return
        if path:
            parent, _, name = path.rpartition("/")
            self._make(parent)
            if self._folder(path) is None:
                if name in self._folders[parent]:
                    raise InvalidPathError(f"Invalid path {path!r}: it is a file")
                self._folders[path] = {}
                self._folders[parent][name] = (FOLDER_MODE, "")
        self._changed.add(path)

    def _write(self, names: Mapping[str, tuple[int, str]]) -> str:
        tree = Tree()
        seen: dict[str, str] = {}
        for name, (mode, oid) in names.items():
            twin = seen.setdefault(collision_key(name), name)
            if twin != name:
                raise InvalidPathError(
                    f"{name!r} and {twin!r} would be one file on a case-insensitive file system"
                )
            tree.add(encode(name), mode, ObjectID(oid.encode()))
        return self._objects.write(tree)
