"""The changes that a commit is made of, and the tree that they lead to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ggez_hub.embedded.attributes import ATTRIBUTES_FILE, DEFAULT_ATTRIBUTES, Attributes
from ggez_hub.embedded.lfs import Pointer
from ggez_hub.embedded.objects import Objects
from ggez_hub.embedded.paths import check_path
from ggez_hub.embedded.tree import TreeEditor


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
