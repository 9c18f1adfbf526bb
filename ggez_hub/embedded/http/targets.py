"""What a commit goes to: a branch, an existing pull request, or a new one."""

from __future__ import annotations

from starlette.requests import Request

from ggez_hub.embedded.accounts import Principal
from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.discussions import Discussion
from ggez_hub.embedded.errors import DiscussionNotFoundError, RevisionNotFoundError
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.paging import flag
from ggez_hub.embedded.names import pull_number
from ggez_hub.embedded.pull_requests import require_pull
from ggez_hub.embedded.repository import DEFAULT_BRANCH, GitRepository


def opens_pull(request: Request) -> bool:
    """Whether the commit becomes a new pull request."""
    return flag(request, "create_pr")


def revision(request: Request) -> str:
    """The branch, or the full ref of a pull request, in the request's path."""
    value: str = request.path_params["revision"]
    return value.removeprefix("refs/heads/")


def target(request: Request) -> tuple[RepoRecord, Principal]:
    """The repo to which a commit goes, and who makes it.

    Whoever may read a repo may propose changes to it, and add to their own proposals.

    Raises:
        RepoNotFoundError: the repo is missing, or private and not the caller's.
        RevisionNotFoundError: there is no such pull request.
        PermissionDeniedError: the caller may not commit there with this token.
        HubError: as `access.writable` and `access.contributable`.
    """
    if opens_pull(request):
        return access.contributable(request)
    pull = existing_pull(request)
    if pull is None:
        return access.writable(request)
    repo, principal = access.contributable(request)
    if pull.author != principal.name:
        access.require_write(principal, repo.namespace)
    return repo, principal


def existing_pull(request: Request) -> Discussion | None:
    """The pull request in the request's path; None where there is a branch.

    Raises:
        RepoNotFoundError: the repo is missing, or private and not the caller's.
        RevisionNotFoundError: there is no such pull request.
        InvalidRequestError: it was merged.
    """
    number = pull_number(request.path_params["revision"])
    if number is None:
        return None
    repo = access.readable(request)
    try:
        return require_pull(access.store(request).discussions.get(repo, number))
    except DiscussionNotFoundError:
        raise RevisionNotFoundError(f"Invalid rev id: refs/pr/{number}") from None


def branch_head(git: GitRepository, request: Request) -> str | None:
    """The commit to which a commit is added, None for the first one of a repo.

    Raises:
        RevisionNotFoundError: there is no such branch or pull request.
    """
    branch = revision(request)
    head = git.refs.head(branch)
    if head is None and branch != DEFAULT_BRANCH:
        raise RevisionNotFoundError(f"Invalid rev id: {branch[:200]}")
    return head
