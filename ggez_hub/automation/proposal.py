"""A pull request of the registry's own: one file, one branch, opened once and kept up to date."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from github.PullRequest import PullRequest
    from github.Repository import Repository

State = Literal["opened", "updated", "unchanged", "declined"]


@dataclass(frozen=True)
class Proposal:
    """A file as it should be, and the pull request that says so.

    branch  its branch, which is nobody else's
    """

    branch: str
    path: str
    text: str
    title: str
    body: str


def propose(repository: Repository, wanted: Proposal) -> tuple[State, str]:
    """Open the pull request, or bring it up to date; returns what was done, and its page.

    One of that title that a person closed stays closed. The commit is made before the branch
    moves, so whoever is cut off runs it again.
    """
    base = repository.default_branch
    owner = repository.full_name.partition("/")[0]
    pulls = list(repository.get_pulls(state="all", base=base, head=f"{owner}:{wanted.branch}"))
    is_open = [pull for pull in pulls if pull.state == "open"]
    for pull in pulls:
        if not is_open and pull.title == wanted.title and not pull.merged_at:
            return "declined", pull.html_url
    moved = _commit(repository, base, wanted)
    if not is_open:
        made = repository.create_pull(base, wanted.branch, title=wanted.title, body=wanted.body)
        return "opened", made.html_url
    said = _say(is_open[0], wanted)
    return ("updated" if moved or said else "unchanged"), is_open[0].html_url


def _commit(repository: Repository, base: str, wanted: Proposal) -> bool:
    """Have the branch hold the file, by one commit on the base; False if it does already."""
    from github import InputGitTreeElement

    there = _text_on(repository, wanted)
    if there == wanted.text:
        return False
    head = repository.get_git_commit(repository.get_branch(base).commit.sha)
    file = InputGitTreeElement(wanted.path, "100644", "blob", content=wanted.text)
    tree = repository.create_git_tree([file], head.tree)
    made = repository.create_git_commit(wanted.title, tree, [head])
    if there is None:
        repository.create_git_ref(f"refs/heads/{wanted.branch}", made.sha)
    else:
        repository.get_git_ref(f"heads/{wanted.branch}").edit(made.sha, force=True)
    return True


def _text_on(repository: Repository, wanted: Proposal) -> str | None:
    """The file on the branch; None if there is no such branch. The base has the file, or is new."""
    from github import UnknownObjectException

    try:
        repository.get_branch(wanted.branch)
    except UnknownObjectException:
        return None
    try:
        found = repository.get_contents(wanted.path, ref=wanted.branch)
    except UnknownObjectException:
        return ""
    return found.decoded_content.decode() if not isinstance(found, list) else ""


def _say(pull: PullRequest, wanted: Proposal) -> bool:
    if (pull.title, pull.body) == (wanted.title, wanted.body):
        return False
    pull.edit(title=wanted.title, body=wanted.body)
    return True
