"""The difference of two trees as git prints it, in bounded time whatever the files hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import Match, SequenceMatcher
from io import BytesIO
from typing import Final

from dulwich.patch import gen_diff_header, is_binary, patch_filename

from ggez_hub.embedded.objects import FileChange, Objects

MAX_BYTES: Final = 1 << 20
MAX_FILE: Final = 256 << 10
MAX_READ: Final = 64 << 20
# Pairs of lines, in all files together: a second of work. Crafted files would take difflib minutes.
MAX_COMPARISONS: Final = 4_000_000
_CONTEXT: Final = 3
_NO_NEWLINE: Final = b"\n\\ No newline at end of file\n"


def text_difference(objects: Objects, changes: Iterable[FileChange]) -> bytes:
    """The changes as git prints them; files that are long are named, and a long difference is cut.

    Where the lines of the files would take too long to compare, what is left is one block that was replaced.
    """
    out = BytesIO()
    read, left = 0, MAX_COMPARISONS
    for change in changes:
        if out.tell() > MAX_BYTES or read > MAX_READ:
            out.write(b"The rest of the difference is too long to be shown.\n")
            break
        old, new = (objects.blob(oid) if oid else b"" for oid in (change.before, change.after))
        read += len(old) + len(new)
        (old_path, old_mode, old_id), (new_path, new_mode, new_id) = change.sides
        if max(len(old), len(new)) > MAX_FILE:
            out.write(f"diff --git a/{change.path} b/{change.path}\n".encode(errors="replace"))
            out.write(b"The difference is too long to be shown.\n")
            continue
        out.writelines(
            gen_diff_header((old_path, new_path), (old_mode, new_mode), (old_id, new_id))
        )
        names = patch_filename(old_path, b"a"), patch_filename(new_path, b"b")
        if is_binary(old) or is_binary(new):
            out.write(b"Binary files %b and %b differ\n" % names)
            continue
        lines = _LineMatcher(_lines(old), _lines(new), left)
        for number, hunk in enumerate(_hunks(lines)):
            if not number:
                out.write(b"--- %b\n+++ %b\n" % names)
            out.write(hunk)
        left = lines.left
    return out.getvalue()


class _LineMatcher(SequenceMatcher[bytes]):
    """difflib's, until it has made as many comparisons as are left; after that nothing is found equal."""

    a: list[bytes]
    b: list[bytes]
    b2j: dict[bytes, list[int]]

    def __init__(self, old: list[bytes], new: list[bytes], left: int) -> None:
        super().__init__(None, old, new)
        self.left = left

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> Match:
        if self.left > 0:
            self.left -= sum(1 + len(self.b2j.get(line, [])) for line in self.a[alo:ahi])
        if self.left <= 0:
            return Match(alo, blo, 0)
        return super().find_longest_match(alo, ahi, blo, bhi)


def _lines(content: bytes) -> list[bytes]:
    lines = [line + b"\n" for line in content.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last + _NO_NEWLINE] if last else lines


def _hunks(lines: _LineMatcher) -> Iterator[bytes]:
    for group in lines.get_grouped_opcodes(_CONTEXT):
        first, last = group[0], group[-1]
        yield b"@@ -%b +%b @@\n" % (_span(first[1], last[2]), _span(first[3], last[4]))
        for kind, old, old_end, new, new_end in group:
            if kind == "equal":
                yield b"".join(b" " + line for line in lines.a[old:old_end])
            else:
                yield b"".join(b"-" + line for line in lines.a[old:old_end])
                yield b"".join(b"+" + line for line in lines.b[new:new_end])


def _span(start: int, end: int) -> bytes:
    """A range of lines as git writes it: of an empty one the line before it."""
    length = end - start
    return (
        b"%d,%d" % (start + 1 if length else start, length) if length != 1 else b"%d" % (start + 1)
    )
