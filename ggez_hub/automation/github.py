"""What the workflows ask of GitHub: pull requests, reviews, runs and comments."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from ggez_hub.automation.submissions import BadSubmissions, Submission, recorded
from ggez_hub.errors import GgezError, MissingExtra

if TYPE_CHECKING:
    from github.IssueComment import IssueComment
    from github.Repository import Repository


State = Literal["opened", "updated", "unchanged", "declined"]


@dataclass(frozen=True)
class Proposal:
    """A pull request of one file, on a branch that nothing else uses."""

    branch: str
    path: str
    text: str
    title: str
    body: str


def propose(repository: Repository, wanted: Proposal) -> tuple[State, str]:
    """Open or update the pull request; returns what was done, and its page.

    One of that title that a person closed stays closed. The commit is made before the branch moves,
    so that an interrupted run can be repeated.
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
    pull = is_open[0]
    edited = (pull.title, pull.body) != (wanted.title, wanted.body)
    if edited:
        pull.edit(title=wanted.title, body=wanted.body)
    return ("updated" if moved or edited else "unchanged"), pull.html_url


def _commit(repository: Repository, base: str, wanted: Proposal) -> bool:
    """Put the file on the branch, by one commit on the base; False if it is there already."""
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
    """The file on the branch, empty if there is none; None if there is no such branch."""
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


BOT = "github-actions[bot]"
OF_PULLS = "pull_request"
UNPROCESSABLE = 422  # what is in a request, not the request itself
MAY_DECIDE = frozenset({"admin", "maintain", "write"})
PUBLIC_API = "https://api.github.com"
# Seconds that GitHub asks clients of its public API to leave between requests, and between writes.
PAUSES = {"seconds_between_requests": 0.25, "seconds_between_writes": 1.0}


@dataclass(frozen=True)
class GitHub:
    """A repository on GitHub, with the token of the run."""

    repository: str
    api: str
    token: str

    @classmethod
    def of_environment(cls) -> GitHub:
        """From the variables that GitHub sets; raises GgezError if they are not set."""
        repository = os.environ.get("GITHUB_REPOSITORY")
        token = os.environ.get("GITHUB_TOKEN")
        if not repository or not token:
            raise GgezError(
                "this step talks to GitHub and has no GITHUB_REPOSITORY and GITHUB_TOKEN",
                "A workflow gives them with `env:`; by hand, use a token of your own.",
            )
        return cls.at(repository, token)

    @classmethod
    def at(cls, repository: str, token: str) -> GitHub:
        """A repository, owner/name, on the GitHub of GITHUB_API_URL."""
        return cls(repository, os.environ.get("GITHUB_API_URL", PUBLIC_API), token)

    @cached_property
    def _repository(self) -> Repository:
        try:
            from github import Auth, Github
        except ModuleNotFoundError as error:
            raise MissingExtra("PyGithub", "ci") from error
        pauses = PAUSES if self.api == PUBLIC_API else dict.fromkeys(PAUSES)
        client = Github(base_url=self.api, auth=Auth.Token(self.token), **pauses)
        return client.get_repo(self.repository)

    def ask(self, path: str) -> tuple[int, Any]:
        """The status and the document of a GET below the repository's address, also of a refusal."""
        from github import GithubException

        try:
            known = self._repository
            at = f"{known.url}{path}"
            _, found = known.requester.requestJsonAndCheck("GET", at, {"per_page": 100})
        except GithubException as error:
            return error.status, error.data
        return 200, found

    def head(self, number: int) -> tuple[str, str]:
        """The commits (base, head) of a pull request now."""
        pull = self._repository.get_pull(number)
        return pull.base.sha, pull.head.sha

    def pull_requests(self, sha: str) -> list[int]:
        """The open pull requests for the default branch with the head `sha`, from forks too."""
        main = self._repository.default_branch
        found = self._repository.get_commit(sha).get_pulls()
        return sorted(
            pull.number
            for pull in found
            if pull.state == "open" and pull.head.sha == sha and pull.base.ref == main
        )

    def may_decide(self, login: str) -> bool:
        """Whether an account may write to the repository: asked, not read from an event."""
        return self._repository.get_collaborator_permission(login) in MAY_DECIDE

    def approved(self, number: int, sha: str) -> bool:
        """Whether somebody who may decide approved the commit `sha`, and nobody such objects.

        Of each reviewer the last review counts; an approval of an earlier commit does not.
        """
        last: dict[str, tuple[str, str]] = {}
        for review in self._repository.get_pull(number).get_reviews():
            # Of an account that is gone nobody is named.
            if review.user and review.state in {"APPROVED", "CHANGES_REQUESTED", "DISMISSED"}:
                last[review.user.login] = (review.state, review.commit_id)
        deciding = {who: word for who, word in last.items() if self.may_decide(who)}
        if any(state == "CHANGES_REQUESTED" for state, _ in deciding.values()):
            return False
        return any(word == ("APPROVED", sha) for word in deciding.values())

    def green(self, sha: str, workflows: frozenset[str]) -> bool:
        """Whether the newest run of each of `workflows`, for a pull request at a commit, succeeded.

        They are identified by their files: any workflow may have the name of another.
        """
        newest: dict[str, tuple[int, str | None]] = {}
        for run in self._repository.get_workflow_runs(head_sha=sha, event=OF_PULLS):
            # A branch may follow.
            path = run.path.partition("@")[0]
            if path in workflows and run.id > newest.get(path, (0, None))[0]:
                newest[path] = (run.id, run.conclusion)
        return {name for name, (_, end) in newest.items() if end == "success"} == workflows

    def merge(self, number: int, sha: str) -> None:
        """Squash a pull request; GitHub refuses if its head is not `sha` any more."""
        self._repository.get_pull(number).merge(merge_method="squash", sha=sha)

    def start(self, workflow: str) -> None:
        """Start a workflow, by its file, on the default branch; raises GgezError.

        A merge with the token of a run starts none by itself; a dispatch with it does:
        https://docs.github.com/en/actions/concepts/security/github_token
        """
        main = self._repository.default_branch
        if not self._repository.get_workflow(workflow).create_dispatch(main):
            raise GgezError(
                f"GitHub has not started {workflow}",
                "The job needs `actions: write`; its daily run does what is left.",
            )

    def propose(self, wanted: Proposal) -> tuple[State, str]:
        """Open or update a pull request of the registry's own; returns what was done, and its page.

        Raises GgezError where GitHub refuses what it holds.
        """
        from github import GithubException

        try:
            return propose(self._repository, wanted)
        except GithubException as error:
            if error.status != UNPROCESSABLE:
                raise
            raise GgezError(f"GitHub does not take {wanted.path}: {error.message}") from error

    def submissions(self, topic: str) -> dict[int, tuple[Submission, ...]]:
        """The measurements that the bot's comments on `topic` record, by pull request.

        A comment that cannot be read, after an edit by hand, is ignored.
        """
        mark, found = _mark(topic), {}
        for comment in self._repository.get_issues_comments():
            if _is_bots(comment, mark):
                number = int(comment.issue_url.rpartition("/")[2])
                with suppress(BadSubmissions):
                    found[number] = recorded(comment.body)
        return found

    def say(self, number: int, topic: str, text: str) -> None:
        """Write the comment on `topic` under a pull request, or edit the one that is there."""
        mark = _mark(topic)
        pull = self._repository.get_pull(number)
        for comment in pull.get_issue_comments():
            # Anybody can write the mark; only the bot's own comment is edited.
            if _is_bots(comment, mark):
                if comment.body != f"{mark}\n{text}":
                    comment.edit(f"{mark}\n{text}")
                return
        pull.create_issue_comment(f"{mark}\n{text}")


def _is_bots(comment: IssueComment, mark: str) -> bool:
    """Whether the bot wrote a comment that begins with a mark; of a deleted account is no name."""
    return bool(comment.user) and comment.user.login == BOT and comment.body.startswith(mark)


def _mark(topic: str) -> str:
    """The first line of the comment on a topic."""
    return f"<!-- ggez-hub: {topic} -->"
