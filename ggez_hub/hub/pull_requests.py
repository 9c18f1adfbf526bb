"""Pull requests on a hub, found again by whoever opened them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ggez_hub.hub.client import Hub
from ggez_hub.hub.commits import Content, commit, head_of, require_token, send, without_unchanged
from ggez_hub.hub.repository_files import readable_answer
from ggez_hub.retry import with_retries


@dataclass(frozen=True)
class Proposal:
    """A pull request, or `accepted` without one: the repository has the very files already.

    `declined` was closed without a merge.
    """

    state: Literal["opened", "updated", "unchanged", "accepted", "declined"]
    url: str
    number: int | None


@dataclass(frozen=True)
class OpenPullRequest:
    """An open pull request at a repository, and its web page."""

    number: int
    title: str
    author: str
    url: str

    @property
    def reference(self) -> str:
        """The revision that it proposes."""
        return f"refs/pr/{self.number}"


def open_pull_requests(
    hub: Hub, repo: str, repo_type: str = "model", author: str | None = None
) -> list[OpenPullRequest]:
    """The open pull requests at a repository, or those of `author`, by number.

    Raises GgezError, and what the client raises.
    """
    return _pull_requests(hub, repo, repo_type, author, "open")


def _pull_requests(
    hub: Hub, repo: str, repo_type: str, author: str | None, status: Literal["open", "closed"]
) -> list[OpenPullRequest]:
    with readable_answer(f"the pull requests of {repo}"):
        found = with_retries(
            lambda: list(
                hub.api.get_repo_discussions(
                    repo,
                    author=author,
                    discussion_type="pull_request",
                    discussion_status=status,
                    repo_type=repo_type,
                )
            )
        )
    page = hub.page(repo, repo_type)
    return sorted(
        (
            OpenPullRequest(pull.num, pull.title, pull.author, f"{page}/discussions/{pull.num}")
            for pull in found
            if pull.status != "merged"  # which counts as closed
        ),
        key=lambda pull: pull.number,
    )


def propose(
    hub: Hub,
    repo: str,
    files: Mapping[str, Content],
    title: str,
    description: str,
    *,
    repo_type: str = "model",
    parent: str | None = None,
    once: bool = False,
) -> Proposal:
    """Open a pull request with `files`, or update one's own open one of that title.

    parent: the commit that the files were made from; the hub refuses a new pull request if its
    branch has moved. Whoever ran this before and was cut off finds their pull request again. With
    `once` one of that title that was closed stays closed. Raises
    as `commit`, and GgezError without a token.
    """
    require_token(hub)
    author = hub.account()
    new = without_unchanged(head_of(hub, repo, repo_type), files)
    if not new:
        return Proposal("accepted", f"{hub.page(repo, repo_type)}/tree/main", None)
    for pull in open_pull_requests(hub, repo, repo_type, author):
        if (pull.title, pull.author) == (title, author):
            done = commit(hub, repo, files, title, repo_type=repo_type, revision=pull.reference)
            return Proposal("updated" if done.changed else "unchanged", pull.url, pull.number)
    for pull in _pull_requests(hub, repo, repo_type, author, "closed") if once else ():
        if (pull.title, pull.author) == (title, author):
            return Proposal("declined", pull.url, pull.number)
    # Not tried again by itself: a second attempt could open a second one.
    info = send(hub, repo, new, (), title, description, repo_type, None, parent)
    number = int(str(info.pr_url).rstrip("/").rpartition("/")[2])
    return Proposal("opened", str(info.pr_url), number)
