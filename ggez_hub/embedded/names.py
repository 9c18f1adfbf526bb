"""The names of the hub: repo types, repo ids, branches and tags."""

from __future__ import annotations

import re
from typing import Final, Literal, get_args

from dulwich.refs import Ref, check_ref_format

from ggez_hub.embedded.errors import InvalidRequestError

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
