"""Writing to a hub: one commit with everything or nothing, and versions.

Everything can be repeated: what is there already is compared by digest and not sent.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.hub.client import Hub
from ggez_hub.hub.listing import HubFile, RepoAtCommit
from ggez_hub.retry import with_retries

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo

Content: TypeAlias = Path | bytes
"""A file to publish: where it lies, or what it holds."""

VERSION_TAG = re.compile(r"^v([1-9][0-9]{0,5})$")


class NoToken(GgezError):
    """Writing needs a token."""


class CommitRefused(GgezError):
    """The hub does not take what was sent."""


@dataclass(frozen=True)
class Committed:
    """A repository's head after a publication, and the paths that were not there before."""

    revision: str
    changed: tuple[str, ...]


def account(hub: Hub) -> str:
    """The name of the account that writes; raises NoToken."""
    require_token(hub)
    return str(hub.account())


def require_token(hub: Hub) -> None:
    """Raise NoToken without a token; one for a single repository is of no account."""
    if hub.token is None:
        raise NoToken(
            f"writing to {hub.endpoint} needs a token",
            "Run `hf auth login` or set HF_TOKEN to a token with the role write, and HF_ENDPOINT "
            "to the hub's address where it is not the Hugging Face Hub.",
        )


def ensure_repo(hub: Hub, repo: str, *, private: bool, repo_type: str = "model") -> None:
    """Make a repository unless it is there; the visibility of one that is there stays."""
    if hub.exists(repo, repo_type):
        # A token for a single repository may not ask to make it.
        return
    with_retries(
        lambda: hub._api.create_repo(repo, private=private, repo_type=repo_type, exist_ok=True)
    )


def gate(hub: Hub, repo: str) -> None:
    """Let nobody read a repository's files who has not accepted its terms."""
    with_retries(lambda: hub._api.update_repo_settings(repo, gated="auto"))


def head_of(hub: Hub, repo: str, repo_type: str = "model", revision: str = "main") -> RepoAtCommit:
    """A repository at a revision; one without commits has no files and the revision ''."""
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        return hub.at_commit(repo, revision, repo_type)
    except RevisionNotFoundError:
        if revision != "main":
            raise
        return RepoAtCommit(repo, "", (), "", gated=False)


def commit(
    hub: Hub,
    repo: str,
    files: Mapping[str, Content],
    message: str,
    *,
    remove: Collection[str] = (),
    repo_type: str = "model",
    revision: str = "main",
) -> Committed:
    """Bring a repository to hold `files`, and none of `remove`, by one commit or none.

    The commit is refused by the hub if somebody else committed meanwhile. Raises Refused, and what
    the client raises.
    """
    head = head_of(hub, repo, repo_type, revision)
    new = {path: content for path, content in files.items() if not has_content(head, path, content)}
    gone = [path for path in remove if head.file(path) is not None and path not in files]
    if not new and not gone:
        return Committed(head.revision, ())
    info = send(hub, repo, new, gone, message, "", repo_type, revision, head.revision or None)
    return Committed(info.oid, (*sorted(new), *gone))


def tag_version(hub: Hub, repo: str, revision: str) -> str:
    """The version tag (v1, v2, ...) of a commit, which is made if it is new.

    A commit whose files are those of the last version is that version. Raises what the client
    raises.
    """
    versions = {
        int(match[1]): commit
        for name, commit in hub.tags(repo).items()
        if (match := VERSION_TAG.match(name))
    }
    last = max(versions, default=0)
    if last and _same_files(hub, repo, versions[last], revision):
        return f"v{last}"
    name = f"v{last + 1}"
    hub._api.create_tag(repo, tag=name, revision=revision)
    return name


def _same_files(hub: Hub, repo: str, one: str, other: str) -> bool:
    def contents(revision: str) -> dict[str, str]:
        return {f.path: f.sha256 or f.oid for f in hub.at_commit(repo, revision).files}

    return one == other or contents(one) == contents(other)


def send(
    hub: Hub,
    repo: str,
    files: Mapping[str, Content],
    gone: Collection[str],
    message: str,
    description: str,
    repo_type: str,
    revision: str | None,
    parent: str | None,
) -> CommitInfo:
    """One commit to `revision`, or a pull request where that is None."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations = [
        *(CommitOperationAdd(path, content) for path, content in sorted(files.items())),
        *(CommitOperationDelete(path) for path in sorted(gone)),
    ]
    with _plain_uploads(hub), warnings.catch_warnings():
        # Evidence is parquet, and meant to lie beside the model.
        warnings.simplefilter("ignore", UserWarning)
        try:
            return hub._api.create_commit(
                repo, operations, commit_message=message, commit_description=description,
                repo_type=repo_type, revision=revision, create_pr=revision is None,
                parent_commit=parent,
            )  # fmt: skip
        except RuntimeError as error:
            # The client wraps what broke an upload; what broke it is what the user needs to know.
            cause = error.__cause__
            # After a lost connection it closes its session under uploads that go on beside it.
            if cause is None or isinstance(cause, RuntimeError):
                raise ConnectionError(f"{error} ({cause})") from error
            raise cause from error
        except ValueError as error:
            raise CommitRefused(f"{repo} does not take the commit: {error}") from error


@contextmanager
def _plain_uploads(hub: Hub) -> Iterator[None]:
    """The client chooses the Xet protocol by itself, which only the Hugging Face Hub speaks."""
    from huggingface_hub import constants

    before = constants.HF_HUB_DISABLE_XET
    if hub.endpoint != constants._HF_DEFAULT_ENDPOINT:
        constants.HF_HUB_DISABLE_XET = True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = before


def has_content(at: RepoAtCommit, path: str, content: Content) -> bool:
    """Whether the repository has the very file already."""
    file = at.file(path)
    return file is not None and _size(content) == file.size and _is(content, file)


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _is(content: Content, file: HubFile) -> bool:
    if file.sha256 is not None:
        if isinstance(content, bytes):
            return hashlib.sha256(content).hexdigest() == file.sha256
        return sha256_file(content) == file.sha256
    data = content if isinstance(content, bytes) else content.read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)
    return git.hexdigest() == file.oid
