"""Writing to a hub: one commit with everything or nothing, and versions.

Everything can be repeated: what is there already is compared by digest and not sent.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ggez_hub.errors import GgezError
from ggez_hub.hub.client import Hub
from ggez_hub.hub.repository_files import RepoAtCommit
from ggez_hub.retry import with_retries

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo


Content: TypeAlias = Path | bytes
"""A file to publish: its path, or its content."""

VERSION_TAG = re.compile(r"^v([1-9][0-9]{0,5})\Z")


@dataclass(frozen=True)
class Committed:
    """A repository's head after a publication, and the paths that changed."""

    revision: str
    changed: tuple[str, ...]


def require_token(hub: Hub) -> None:
    """Raise GgezError without a token."""
    if hub.token is None:
        raise GgezError(
            f"writing to {hub.endpoint} needs a token",
            "Run `hf auth login` or set HF_TOKEN to a token with the role write, and HF_ENDPOINT "
            "to the hub's address where it is not the Hugging Face Hub.",
        )


def ensure_repo(
    hub: Hub,
    repo: str,
    *,
    private: bool,
    repo_type: str = "model",
    space_sdk: str | None = None,
) -> None:
    """Make a repository unless it is there; the visibility of one that is there stays.

    A Space needs the name of its `space_sdk`.
    """
    if hub.exists(repo, repo_type):
        # A token for a single repository may not ask to make it.
        return
    with_retries(
        lambda: hub.api.create_repo(
            repo, private=private, repo_type=repo_type, space_sdk=space_sdk, exist_ok=True
        )
    )


def gate(hub: Hub, repo: str) -> None:
    """Let nobody read a repository's files who has not accepted its terms."""
    with_retries(lambda: hub.api.update_repo_settings(repo, gated="auto"))


def head_of(hub: Hub, repo: str, repo_type: str = "model", revision: str = "main") -> RepoAtCommit:
    """A repository at a revision; one without commits has no files and the revision ''."""
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        return hub.at_commit(repo, revision, repo_type)
    except RevisionNotFoundError:
        if revision != "main":
            raise
        return RepoAtCommit(repo, "", (), "", gated=False)


def without_unchanged(head: RepoAtCommit, files: Mapping[str, Content]) -> dict[str, Content]:
    """Those of `files` that a repository does not hold yet, by path."""
    there = {file.path: file for file in head.files}
    return {
        path: content
        for path, content in files.items()
        if path not in there or not there[path].matches(content)
    }


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
    """Make a repository hold `files`, and none of `remove`, by one commit or none.

    The hub refuses the commit if somebody else committed in the meantime. Raises GgezError if it
    refuses the files, and what the client raises.
    """
    head = head_of(hub, repo, repo_type, revision)
    new = without_unchanged(head, files)
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

    def contents(commit: str) -> set[tuple[str, str]]:
        return {(file.path, file.sha256 or file.oid) for file in hub.at_commit(repo, commit).files}

    last = max(versions, default=0)
    if last and (versions[last] == revision or contents(versions[last]) == contents(revision)):
        return f"v{last}"
    name = f"v{last + 1}"
    hub.api.create_tag(repo, tag=name, revision=revision)
    return name


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

    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *(CommitOperationAdd(path, content) for path, content in sorted(files.items())),
        *(CommitOperationDelete(path) for path in sorted(gone)),
    ]
    with warnings.catch_warnings():
        # The client warns of parquet in a model's repository; evidence is parquet.
        warnings.simplefilter("ignore", UserWarning)
        try:
            return hub.api.create_commit(
                repo,
                operations,
                commit_message=message,
                commit_description=description,
                repo_type=repo_type,
                revision=revision,
                create_pr=revision is None,
                parent_commit=parent,
            )
        except RuntimeError as error:
            # The client wraps what broke an upload; what broke it is what the user needs to know.
            cause = error.__cause__
            # After a lost connection it closes its session while other uploads still use it.
            if cause is None or isinstance(cause, RuntimeError):
                raise ConnectionError(f"{error} ({cause})") from error
            raise cause from error
        except ValueError as error:
            raise GgezError(f"{repo} does not take the commit: {error}") from error


RESOURCE = "HF_OIDC_RESOURCE"
# What a run with an identity has: GitHub's address for it, or an identity from another provider.
IDENTITIES = ("ACTIONS_ID_TOKEN_REQUEST_URL", "HF_OIDC_ID_TOKEN")


@dataclass(frozen=True)
class WriteAccess:
    """A hub whose token may write, and why it may."""

    hub: Hub
    reason: str


def write_access(hub: Hub, repo: str, repo_type: str = "model") -> WriteAccess:
    """The hub with a token for this one repository, or with its own if the Hub gives none.

    It gives none for a repository that is not there yet, or that does not name the workflow.
    """
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HfHubHTTPError, OIDCError

    if hub.endpoint != constants.ENDPOINT or not any(map(os.environ.get, IDENTITIES)):
        return WriteAccess(hub, "HF_TOKEN")
    try:
        with _resource(constants.REPO_TYPES_URL_PREFIXES.get(repo_type, "") + repo):
            token = get_token()
    except (HfHubHTTPError, OIDCError) as error:
        said = str(error).strip().partition("\n")[0]
        return WriteAccess(hub, f"HF_TOKEN: no trusted publisher ({said})")
    return WriteAccess(replace(hub, token=token), "trusted publisher")


@contextmanager
def _resource(name: str) -> Iterator[None]:
    """Scope the client's next token to a repository; other requests of this run keep their own."""
    before = os.environ.pop(RESOURCE, None)
    os.environ[RESOURCE] = name
    try:
        yield
    finally:
        del os.environ[RESOURCE]
        if before is not None:
            os.environ[RESOURCE] = before
