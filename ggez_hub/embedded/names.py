"""The names that the hub accepts: of repos, namespaces, branches, tags, and files in a commit."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal, get_args

from dulwich.index import validate_path_element_hfs, validate_path_element_ntfs
from dulwich.refs import Ref, check_ref_format

from ggez_hub.embedded.errors import InvalidPathError, InvalidRequestError

# Repos with a history, and buckets, which have none.
GitType = Literal["model", "dataset", "space", "kernel"]
RepoType = GitType | Literal["bucket"]

REPO_TYPES: Final[tuple[GitType, ...]] = get_args(GitType)
ALL_TYPES: Final[tuple[RepoType, ...]] = (*REPO_TYPES, "bucket")
URL_PREFIXES: Final[dict[RepoType, str]] = {
    kind: "" if kind == "model" else f"{kind}s/" for kind in ALL_TYPES
}
MAX_PATH_BYTES: Final = 1024
MAX_SEGMENT_BYTES: Final = 255

_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
_PULL: Final = re.compile(r"refs/pr/([1-9][0-9]{0,8})")
# First segments of the hub's own routes: a namespace of that name could not be reached.
_RESERVED: Final = frozenset({"api", "lfs", "collections", *(f"{kind}s" for kind in ALL_TYPES)})
_FORBIDDEN: Final = re.compile("[\\\\\x00-\x1f\x7f\ud800-\udfff]")
_DRIVE: Final = re.compile(r"[A-Za-z]:")


def repo_type(value: object) -> RepoType:
    """`value` as a repo type; raises InvalidRequestError."""
    for kind in ALL_TYPES:
        if value == kind:
            return kind
    raise InvalidRequestError(f"{value!r} is not a repo type: use {', '.join(ALL_TYPES)}")


def check_name(name: str, what: str = "name") -> str:
    """`name` if it may name a repo or a namespace by the rules of the Hub.

    Raises InvalidRequestError if it may not.
    """
    if not _NAME.fullmatch(name) or "--" in name or ".." in name or name.lower().endswith(".git"):
        raise InvalidRequestError(
            f"Invalid {what} {name!r}: use at most 96 letters, digits, '-', '_' and '.'; '--' and "
            "'..' are forbidden, '-' and '.' cannot start or end the name, '.git' cannot end it"
        )
    return name


def check_namespace(name: str) -> str:
    """`name` if it may name an account or an organisation; raises InvalidRequestError."""
    check_name(name, "namespace")
    if name.lower() in _RESERVED:
        raise InvalidRequestError(f"Invalid namespace {name!r}: the word is reserved")
    return name


def split_repo_id(repo_id: str) -> tuple[str, str]:
    """The two checked parts of `namespace/name`; raises InvalidRequestError."""
    namespace, slash, name = repo_id.partition("/")
    if not slash:
        raise InvalidRequestError(f"{repo_id!r} is not a repo id: write it as namespace/name")
    return check_namespace(namespace), check_name(name, "repo name")


def branch_ref(name: str) -> Ref:
    """The git ref of a branch; raises InvalidRequestError."""
    return _ref("heads", name)


def tag_ref(name: str) -> Ref:
    """The git ref of a tag; raises InvalidRequestError."""
    return _ref("tags", name)


def pull_ref(number: int) -> Ref:
    """The git ref of a pull request."""
    return Ref(f"refs/pr/{number}".encode())


def pull_number(revision: str) -> int | None:
    """The number of the pull request of which `revision` is the full ref, or None."""
    match = _PULL.fullmatch(revision)
    return int(match[1]) if match else None


def target_ref(revision: str) -> Ref:
    """The ref that a commit to `revision` moves: a branch, or a pull request by its full ref.

    Raises InvalidRequestError if git does not allow the name.
    """
    if _PULL.fullmatch(revision):
        return Ref(revision.encode())
    return branch_ref(revision.removeprefix("refs/heads/"))


def _ref(kind: str, name: str) -> Ref:
    ref = Ref(f"refs/{kind}/{name}".encode(errors="surrogateescape"))
    if not check_ref_format(ref) or name.startswith(("-", "refs/")) or len(ref) > 255:
        raise InvalidRequestError(f"{name!r} is not a valid name of a branch or tag")
    return ref


def check_path(path: str) -> str:
    """`path` if a commit may contain it.

    A path is written to the file systems of other people: it must mean the same on all of them,
    stay inside the folder of the download, and not touch `.git` in any spelling (CVE-2014-9390,
    CVE-2019-1353). Raises InvalidPathError.
    """
    problem = _path_problem(path)
    if problem is not None:
        raise InvalidPathError(f"Invalid path {path[:200]!r}: {problem}")
    return path


def collision_key(name: str) -> str:
    """Equal for two names that are one on a case-insensitive file system."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _path_problem(path: str) -> str | None:
    if _FORBIDDEN.search(path):
        return "it contains a backslash, a control character or invalid Unicode"
    if path.startswith("/") or _DRIVE.match(path):
        return "it is absolute"
    if len(path.encode()) > MAX_PATH_BYTES:
        return f"it is longer than {MAX_PATH_BYTES} bytes"
    for segment in path.split("/"):
        element = segment.encode()
        if segment in {"", ".", ".."}:
            return f"the segment {segment!r} is not allowed"
        if len(element) > MAX_SEGMENT_BYTES:
            return f"a segment is longer than {MAX_SEGMENT_BYTES} bytes"
        if not (validate_path_element_ntfs(element) and validate_path_element_hfs(element)):
            return "'.git' is not allowed in a path"
    return None
