"""Pull requests on a hub, found again by whoever opened them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ggez_hub.hub.client import Hub
from ggez_hub.hub.commits import Content, account, commit, has_content, head_of, send
from ggez_hub.hub.listing import understood
from ggez_hub.retry import with_retries


@dataclass(frozen=True)
class Proposal:
    """A pull request, or `accepted` without one: the repository has the very files already."""

    state: Literal["opened", "updated", "unchanged", "accepted"]
    url: str
    number: int | None


@dataclass(frozen=True)
class OpenPullRequest:
    """An open pull request at a repository: who opened it, where it is read, and its page."""

    number: int
    author: str
    url: str

    @property
    def reference(self) -> str:
        """The revision that it proposes."""
        return f"refs/pr/{self.number}"


def open_pull_requests(hub: Hub, repo: str, repo_type: str = "model") -> list[OpenPullRequest]:
    """The open pull requests at a repository, by number; raises what the client raises."""
    with understood(f"the pull requests of {repo}"):
        found = with_retries(
            lambda: list(
                hub._api.get_repo_discussions(
                    repo, discussion_type="pull_request", discussion_status="open",
                    repo_type=repo_type,
                )
            )
        )  # fmt: skip
    return sorted(
        (
            OpenPullRequest(
                pull.num, pull.author, f"{_page(hub, repo, repo_type)}/discussions/{pull.num}"
            )
            for pull in found
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
) -> Proposal:
    """Open a pull request with `files`, or bring one's own open one of that title up to date.

    parent: the commit that the files were made from; the hub refuses a new pull request if its
    branch has moved. Whoever ran this before and was cut off finds their pull request again. Raises
    as `commit`, and NoToken.
    """
    author = account(hub)
    head = head_of(hub, repo, repo_type)
    new = {path: content for path, content in files.items() if not has_content(head, path, content)}
    if not new:
        return Proposal("accepted", f"{_page(hub, repo, repo_type)}/tree/main", None)
    with understood(f"the pull requests of {repo}"):
        there = with_retries(
            lambda: list(
                hub._api.get_repo_discussions(
                    repo, author=author, discussion_type="pull_request", discussion_status="open",
                    repo_type=repo_type,
                )
            )
        )  # fmt: skip
    for pull in there:
        if pull.title == title and pull.author == author:
            url = f"{_page(hub, repo, repo_type)}/discussions/{pull.num}"
            done = commit(hub, repo, files, title, repo_type=repo_type,
                          revision=f"refs/pr/{pull.num}")  # fmt: skip
            return Proposal("updated" if done.changed else "unchanged", url, pull.num)
    # Not tried again by itself: a second attempt could open a second one.
    info = send(hub, repo, new, (), title, description, repo_type, None, parent)
    number = int(str(info.pr_url).rstrip("/").rpartition("/")[2])
    return Proposal("opened", str(info.pr_url), number)


def _page(hub: Hub, repo: str, repo_type: str) -> str:
    kind = "" if repo_type == "model" else f"{repo_type}s/"
    return f"{hub.endpoint}/{kind}{repo}"
