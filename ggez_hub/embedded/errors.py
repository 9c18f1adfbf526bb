"""What the hub refuses, and how a client of the Hub is told.

HubError                     the request could not be served
  InvalidRequestError        400: malformed
  AuthenticationError        401: no token, or an unknown one
  PermissionDeniedError      403: the token may not do this
  RepoNotFoundError          404: no such repo, or none that the caller may see
  RevisionNotFoundError      404: no such branch, tag or commit
  EntryNotFoundError         404: no such file or folder at that revision
  DiscussionNotFoundError    404: no such discussion or pull request
  GatedRepoError             403: the repo's owner must grant access first
  AlreadyExistsError         409: the name is taken
  ConflictError              409: a pull request cannot be merged as it is
  StaleParentError           412: the branch moved while the commit was prepared
  TooLargeError              413: over a limit of this hub
  InvalidPathError           422: a path that no commit may contain

`code` is the value of the `X-Error-Code` header, by which huggingface_hub picks its exception.
"""

from __future__ import annotations

from typing import ClassVar


class HubError(Exception):
    """A request could not be served; the message is shown to the caller."""

    status: ClassVar[int] = 500
    code: ClassVar[str | None] = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequestError(HubError):
    """The request is malformed."""

    status = 400


class AuthenticationError(HubError):
    """There is no token, or one that this hub does not know."""

    status = 401


class PermissionDeniedError(HubError):
    """The caller is known and may not do this."""

    status = 403


class RepoNotFoundError(HubError):
    """There is no such repo, or none that the caller may see."""

    status = 404
    code = "RepoNotFound"


class RevisionNotFoundError(HubError):
    """There is no such branch, tag or commit."""

    status = 404
    code = "RevisionNotFound"


class EntryNotFoundError(HubError):
    """There is no such file or folder at that revision."""

    status = 404
    code = "EntryNotFound"


class AlreadyExistsError(HubError):
    """The name is taken."""

    status = 409


class DiscussionNotFoundError(HubError):
    """There is no discussion or pull request of that number, or no such comment in it."""

    status = 404


class GatedRepoError(HubError):
    """The owner of the repo must grant access to its files first."""

    status = 403
    code = "GatedRepo"


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


class InvalidPathError(HubError):
    """A path that no commit may contain."""

    status = 422
