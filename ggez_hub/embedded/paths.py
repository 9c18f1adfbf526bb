"""Which paths a commit may contain.

A path travels from the hub into the file systems of other people, so it must mean the same on all of
them and must not reach outside the folder it is downloaded into. Git's own rules against `.git` in its
disguises (CVE-2014-9390, CVE-2019-1353) are part of that.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final

from ggez_hub.embedded.errors import InvalidPathError

MAX_PATH_BYTES: Final = 1024
MAX_SEGMENT_BYTES: Final = 255

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
# HFS+ drops these when it compares names, so `.g\u200cit` opens `.git` there.
_IGNORED_BY_HFS: Final = re.compile(r"[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")


def check_path(path: str) -> str:
    """`path` if a commit may contain it.

    Raises:
        InvalidPathError: it is empty, absolute, leaves the repo, holds a backslash or a control
            character, touches `.git`, or is too long for common file systems.
    """
    reason = _refusal(path)
    if reason is not None:
        raise InvalidPathError(f"Invalid path {path[:200]!r}: {reason}")
    return path


def collision_key(name: str) -> str:
    """Equal for two names that a case-insensitive file system takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _refusal(path: str) -> str | None:
    reasons = (reason for refuses, reason in _RULES if refuses(path))
    return next(reasons, None) or next(filter(None, map(_segment_refusal, path.split("/"))), None)


def _segment_refusal(segment: str) -> str | None:
    if segment in {"", ".", ".."}:
        return f"the segment {segment!r} is not allowed"
    if _bytes(segment) > MAX_SEGMENT_BYTES:
        return f"a segment is longer than {MAX_SEGMENT_BYTES} bytes"
    return "'.git' is not allowed in a path" if _means_dot_git(segment) else None


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _means_dot_git(segment: str) -> bool:
    # NTFS drops trailing dots and spaces, reads `name:stream`, and knows `.git` as `git~1`.
    plain = _IGNORED_BY_HFS.sub("", segment).partition(":")[0].rstrip(" .").casefold()
    return plain in {".git", "git~1"}


_RULES: Final[tuple[tuple[Callable[[str], object], str], ...]] = (
    (lambda path: not path, "it is empty"),
    (lambda path: _bytes(path) > MAX_PATH_BYTES, f"it is longer than {MAX_PATH_BYTES} bytes"),
    (_SURROGATE.search, "it is not valid Unicode"),
    (lambda path: "\\" in path, "it contains a backslash"),
    (_CONTROL.search, "it contains a control character"),
    (lambda path: path.startswith("/") or _DRIVE.match(path), "it is absolute"),
)
