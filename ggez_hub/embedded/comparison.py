"""What a pull request would change: the difference to its target, conflicts, and the merged tree.

Merging is by whole files, as there are no working copies here in which lines could be reconciled: a file
that both sides changed differently is a conflict. The exception is `.gitattributes`, to which the hub itself
adds lines on both sides: the merged one has the lines of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from typing import Final

from dulwich.patch import write_object_diff

from ggez_hub.embedded.attributes import ATTRIBUTES_FILE
from ggez_hub.embedded.errors import ConflictError
from ggez_hub.embedded.history import ancestry
from ggez_hub.embedded.objects import FileChange, Objects
from ggez_hub.embedded.snapshot import locate
from ggez_hub.embedded.tree import TreeEditor, decode

MAX_DIFF_BYTES: Final = 1 << 20
MAX_DIFFED_FILE: Final = 256 << 10
MAX_LISTED_COMMITS: Final = 250


@dataclass(frozen=True, slots=True)
class Comparison:
    """A pull request against its target: what it changed since they parted, and what collides."""

    target: str
    head: str
    commits: list[str]
    changes: list[FileChange]
    conflicts: list[str]


def compare(objects: Objects, target: str, head: str) -> Comparison:
    """Compare the commit `head` of a pull request with the commit `target` of the branch it is for."""
    known = {commit.id.decode() for commit in ancestry(objects, target)}
    commits = []
    base: str | None = None
    for commit in ancestry(objects, head):
        if commit.id.decode() in known:
            base = commit.tree.decode()
            break
        commits.append(commit.id.decode())
    changes = objects.changes(base, objects.commit(head).tree.decode())
    theirs = objects.commit(target).tree.decode()
    conflicts = []
    for change in changes:
        there = locate(objects, theirs, change.path)
        if _both_have(change, there):
            continue
        if (there[1] if there else None) not in {change.before, change.after}:
            conflicts.append(change.path)
    return Comparison(target, head, commits, changes, conflicts)


def merged_tree(objects: Objects, comparison: Comparison) -> str:
    """The files of the target with the changes of the pull request; the id of the tree.

    Raises:
        ConflictError: both sides changed the same file.
        InvalidPathError: a name of the one side collides with one of the other.
    """
    if comparison.conflicts:
        shown = ", ".join(comparison.conflicts[:5])
        raise ConflictError(f"The pull request conflicts with its target in: {shown}")
    editor = TreeEditor(objects, objects.commit(comparison.target).tree.decode())
    # Removals first: a file may have made place for a folder of its name.
    for change in sorted(comparison.changes, key=lambda change: change.after is not None):
        if change.after is not None:
            editor.put(change.path, _merged_blob(objects, editor, change, change.after))
        elif editor.find(change.path) is not None:
            editor.remove(change.path, folder=False)
    return editor.write()


def _both_have(change: FileChange, there: tuple[int, str] | None) -> bool:
    return change.path == ATTRIBUTES_FILE and change.after is not None and there is not None


def _merged_blob(objects: Objects, editor: TreeEditor, change: FileChange, after: str) -> str:
    ours = editor.find(change.path)
    if change.path != ATTRIBUTES_FILE or ours in {None, change.before, after}:
        return after
    lines = dict.fromkeys(objects.blob(ours or after).splitlines())
    lines |= dict.fromkeys(objects.blob(after).splitlines())
    return objects.write_blob(b"".join(line + b"\n" for line in lines))


def merge_message(objects: Objects, comparison: Comparison, title: str, number: int) -> str:
    """The message of the commit that merges a pull request, which lists what went into it."""
    listed = []
    for oid in islice(comparison.commits, MAX_LISTED_COMMITS):
        subject = objects.commit(oid).message.decode(errors="replace").partition("\n")[0]
        listed.append(f"- {subject} ({oid})")
    return "\n\n".join(filter(None, (f"{title} (#{number})", "\n".join(reversed(listed)))))


def diff(objects: Objects, comparison: Comparison) -> str:
    """The changes as git prints them; files that are long are named, and a long diff is cut."""
    out = BytesIO()
    for change in comparison.changes:
        if out.tell() > MAX_DIFF_BYTES:
            out.write(b"The rest of the difference is too long to be shown.\n")
            break
        if max(map(objects.size, filter(None, (change.before, change.after)))) > MAX_DIFFED_FILE:
            out.write(f"diff --git a/{change.path} b/{change.path}\n".encode(errors="replace"))
            out.write(b"The difference is too long to be shown.\n")
            continue
        write_object_diff(out, objects.store, *change.sides)
    return decode(out.getvalue()).encode(errors="replace").decode()
