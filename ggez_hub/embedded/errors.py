"""Why the hub refuses a request, and the status and code of its answer."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


class HubError(Exception):
    """The hub refuses a request, or failed; the message is shown to the caller.

    `code` is the value of the header `X-Error-Code`, by which huggingface_hub picks its exception.
    """

    status = 500
    code: str | None = None

    def __init__(
        self, message: str, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status or self.status
        self.headers = headers or {}


# Of many wrong keys as many as can be read in one go.
MOST_PROBLEMS = 8
_KEY_PROBLEMS = {"extra_forbidden": "unknown key", "missing": "missing key"}


def _problem(found: ErrorDetails) -> str:
    where = ".".join(map(str, found["loc"]))
    if found["type"] in _KEY_PROBLEMS:
        return f"{_KEY_PROBLEMS[found['type']]} {where!r}"
    return f"{where}: {found['msg']}" if where else found["msg"]


class InvalidRequestError(HubError):
    """The request is malformed."""

    status = 400

    @classmethod
    def of(cls, error: ValidationError) -> InvalidRequestError:
        """The first of the problems that pydantic found, and every unknown or missing key."""
        first, *more = error.errors(include_url=False, include_input=False)
        named = [first, *(found for found in more if found["type"] in _KEY_PROBLEMS)]
        return cls("; ".join(map(_problem, named[:MOST_PROBLEMS])))


class AuthenticationError(HubError):
    """There is no token, or one that this hub does not know."""

    status = 401


class PermissionDeniedError(HubError):
    """The caller is known and may not do this."""

    status = 403


class GatedRepoError(HubError):
    """The owner of the repo must grant access to its files first."""

    status = 403
    code = "GatedRepo"


class RepoNotFoundError(HubError):
    """There is no such repo, or none that the caller may see."""

    status = 404
    code = "RepoNotFound"


class RevisionNotFoundError(HubError):
    """There is no such branch, tag or commit."""

    status = 404
    code = "RevisionNotFound"

    @classmethod
    def of(cls, revision: str) -> RevisionNotFoundError:
        """The error for a revision, in the words of the Hub."""
        return cls(f"Invalid rev id: {revision[:200]}")


class EntryNotFoundError(HubError):
    """There is no such file or folder at that revision."""

    status = 404
    code = "EntryNotFound"


class DiscussionNotFoundError(HubError):
    """There is no discussion or pull request of that number, or no such comment in it."""

    status = 404


class JobNotFoundError(HubError):
    """There is no such job in that namespace."""

    status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no job {name[:100]!r} here")


class CollectionNotFoundError(HubError):
    """There is no such collection, or none that the caller may see, or no such item in it."""

    status = 404

    def __init__(self, message: str = "Collection not found") -> None:
        super().__init__(message)


class WebhookNotFoundError(HubError):
    """The caller has no such webhook."""

    status = 404

    def __init__(self) -> None:
        super().__init__("Webhook not found")


class AlreadyExistsError(HubError):
    """The name is taken."""

    status = 409


class ConflictError(HubError):
    """A pull request cannot be merged as it is."""

    status = 409


class StaleParentError(HubError):
    """The branch moved while the commit was prepared."""

    status = 412

    def __init__(self) -> None:
        super().__init__(
            "The branch was updated since you opened this page. Please refresh and try again."
        )


class TooLargeError(HubError):
    """A body or a file is over a limit of this hub."""

    status = 413


class QuotaExceededError(HubError):
    """A user or an organisation holds as much as they may."""

    status = 507


class PurgedError(HubError):
    """Content that was removed for good."""

    status = 451

    def __init__(self) -> None:
        super().__init__("This content was removed from this hub, and may not be there")


class InvalidPathError(HubError):
    """A path that no commit may contain."""

    status = 422


def is_full(error: Exception) -> bool:
    """Whether a disk without space is the cause."""
    if isinstance(error, sqlite3.Error):
        # SQLite cannot open what it has to enlarge first, nor write to its shared memory.
        code = getattr(error, "sqlite_errorcode", 0)
        return code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
