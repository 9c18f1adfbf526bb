"""The files of a repository at a commit, checked before anything acts on them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError

# Above so many the Hub lists the files of a repository page by page only.
LISTED_AT_ONCE = 50_000
# There is no commit yet, and git's ids are for files on a hub.
NO_ID = "0" * 40


@dataclass(frozen=True)
class HubFile:
    """A file of a repository at a commit.

    `size` is in bytes; `sha256` is known for large files, `oid` is git's id of a small one.
    """

    path: str
    size: int
    oid: str
    sha256: str | None

    def matches(self, content: Path | bytes) -> bool:
        """Whether a file has this size and digest."""
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        if size != self.size:
            return False
        if self.sha256 is not None and isinstance(content, Path):
            return sha256_file(content) == self.sha256
        data = content if isinstance(content, bytes) else content.read_bytes()
        if self.sha256 is not None:
            return hashlib.sha256(data).hexdigest() == self.sha256
        git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)
        return git.hexdigest() == self.oid


@dataclass(frozen=True)
class RepoAtCommit:
    """A repository at one commit: its files, its date (ISO 8601) and whether access is gated or private.

    `front_matter` is what its card declares, as the hub reads it.
    """

    repo: str
    revision: str
    files: tuple[HubFile, ...]
    date: str
    gated: bool
    front_matter: Mapping[str, Any] = field(default_factory=dict)
    private: bool = False

    def file(self, path: str) -> HubFile | None:
        """The file at `path`, if there is one."""
        return next((file for file in self.files if file.path == path), None)


@dataclass(frozen=True)
class LocalRepo:
    """Files on this machine by the paths that they will have in the repository `repo`."""

    repo: str
    files: Mapping[str, Path]

    def listing(self) -> RepoAtCommit:
        """All files with size and sha256, as a hub would list them; every byte is read."""
        files = tuple(
            HubFile(path, place.stat().st_size, NO_ID, sha256_file(place))
            for path, place in sorted(self.files.items())
        )
        return RepoAtCommit(self.repo, NO_ID, files, "", gated=False)

    def read_text(self, repo: str, revision: str, path: str) -> str:
        """The text of one of the files."""
        return self.files[path].read_text(encoding="utf-8")


@contextmanager
def readable_answer(what: str) -> Iterator[None]:
    """Turn an answer that the client cannot read into GgezError."""
    from huggingface_hub.errors import HFValidationError

    try:
        yield
    except HFValidationError as error:
        raise GgezError(f"{what!r} is not a name of a repository: {error}") from error
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise GgezError(
            f"the hub's answer about {what} is not one of a Hugging Face Hub",
            "Check the address given with --hub.",
        ) from error


def check_listing(repo: str, revision: str, sha: object, files: Sequence[HubFile]) -> None:
    """Raise GgezError unless a listing can be acted on."""
    where = f"{repo}@{revision[:12]}"
    if not (isinstance(sha, str) and re.fullmatch(r"[0-9a-f]{40}", sha)):
        raise GgezError(f"the hub gives no commit for {where}: the repository may be empty")
    if re.fullmatch(r"[0-9a-f]{40}", revision) and sha != revision:
        raise GgezError(f"the hub answers for {where} with the commit {sha[:12]}")
    if len(files) >= LISTED_AT_ONCE:
        raise GgezError(f"{where} has {LISTED_AT_ONCE:,} files or more: that is not a model")
    for file in files:
        if not (isinstance(file.path, str) and is_plain_path(file.path)):
            raise GgezError(
                f"{where} lists {file.path!r}, which leads out of its folder or is not a name of a "
                "file",
                "Nothing of it was fetched: do not use this repository.",
            )
        if not (isinstance(file.size, int) and file.size >= 0 and isinstance(file.oid, str)):
            raise GgezError(f"{where} lists {file.path} without size and digest")


def is_plain_path(path: str) -> bool:
    """Whether a path from a hub stays below any folder, on every system."""
    return not (
        any(part in {"", ".", ".."} for part in path.split("/"))
        # A backslash; and what a terminal obeys: the client shows names while it downloads.
        or re.search("[\\\\\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", path)
        or re.match(r"[A-Za-z]:", path)
    )
