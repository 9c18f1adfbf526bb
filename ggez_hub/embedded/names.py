"""The names of the hub: repo types, repo ids, branches and tags."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final, Literal, get_args

from dulwich.refs import Ref, check_ref_format

from ggez_hub.embedded.errors import InvalidPathError, InvalidRequestError

RepoType = Literal["model", "dataset", "space"]

REPO_TYPES: Final[tuple[RepoType, ...]] = get_args(RepoType)
URL_PREFIXES: Final[dict[RepoType, str]] = {"model": "", "dataset": "datasets/", "space": "spaces/"}

_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
_OBJECT_ID: Final = re.compile(r"[0-9a-f]{40}")
_PULL: Final = re.compile(r"refs/pr/([1-9][0-9]{0,8})")
# First segments of the hub's own routes: a namespace of that name could not be reached.
_RESERVED: Final = frozenset({"api", "datasets", "spaces", "models", "lfs", "collections"})


def repo_type(value: object) -> RepoType:
    """`value` as a repo type.

    Raises:
        InvalidRequestError: it is none.
    """
    for known in REPO_TYPES:
        if value == known:
            return known
    raise InvalidRequestError(f"{value!r} is not a repo type: use one of {', '.join(REPO_TYPES)}")


def check_name(name: str, what: str = "name") -> str:
    """`name` if it may name a repo or a namespace, by the rules of the Hub.

    Letters, digits, `-`, `_` and `.`, at most 96 characters; `-` and `.` neither at an end nor twice
    in a row; not ending in `.git`.

    Raises:
        InvalidRequestError: it may not.
    """
    if not _NAME.fullmatch(name) or "--" in name or ".." in name or name.lower().endswith(".git"):
        raise InvalidRequestError(
            f"Invalid {what} {name!r}: use at most 96 letters, digits, '-', '_' and '.'; '--' and "
            "'..' are forbidden, '-' and '.' cannot start or end the name, '.git' cannot end it"
        )
    return name


def check_namespace(name: str) -> str:
    """`name` if it may name an account or an organisation.

    Raises:
        InvalidRequestError: it is malformed, or a word of the hub's own routes.
    """
    check_name(name, "namespace")
    if name.lower() in _RESERVED:
        raise InvalidRequestError(f"Invalid namespace {name!r}: the word is reserved")
    return name


def split_repo_id(repo_id: str) -> tuple[str, str]:
    """`namespace/name` as its two checked halves.

    Raises:
        InvalidRequestError: it has not that form.
    """
    namespace, slash, name = repo_id.partition("/")
    if not slash:
        raise InvalidRequestError(f"{repo_id!r} is not a repo id: write it as namespace/name")
    return check_namespace(namespace), check_name(name, "repo name")


def branch_ref(name: str) -> Ref:
    """The git ref of branch `name`.

    Raises:
        InvalidRequestError: git does not allow the name.
    """
    return _ref("heads", name)


def pull_ref(number: int) -> Ref:
    """The git ref of a pull request."""
    return Ref(f"refs/pr/{number}".encode())


def target_ref(revision: str) -> Ref:
    """The ref that a commit to `revision` moves: a branch, or a pull request by its full ref.

    Raises:
        InvalidRequestError: git does not allow the name.
    """
    if _PULL.fullmatch(revision):
        return Ref(revision.encode())
    return branch_ref(revision.removeprefix("refs/heads/"))


def pull_number(revision: str) -> int | None:
    """The number of the pull request of which `revision` is the full ref, or None."""
    match = _PULL.fullmatch(revision)
    return int(match[1]) if match else None


def tag_ref(name: str) -> Ref:
    """The git ref of tag `name`.

    Raises:
        InvalidRequestError: git does not allow the name.
    """
    return _ref("tags", name)


def is_object_id(revision: str) -> bool:
    """Whether `revision` is written as a full commit id."""
    return _OBJECT_ID.fullmatch(revision) is not None


def _ref(kind: str, name: str) -> Ref:
    ref = Ref(f"refs/{kind}/{name}".encode(errors="surrogateescape"))
    if not check_ref_format(ref) or name.startswith(("-", "refs/")) or len(ref) > 255:
        raise InvalidRequestError(f"{name!r} is not a valid name of a branch or tag")
    return ref


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
