"""Pull requests: a ref `refs/pr/<number>` in git, and a discussion of that number.

Both are made under the lock of the repo, the ref first: a server that is killed in between leaves a ref
that nobody knows of, and its number is not given again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.changes import Change
from ggez_hub.embedded.comparison import Comparison, compare, merge_message, merged_tree
from ggez_hub.embedded.discussions import Discussion, Discussions, Opening
from ggez_hub.embedded.errors import InvalidRequestError, RevisionNotFoundError
from ggez_hub.embedded.events import NewEvent, commented, committed
from ggez_hub.embedded.history import Signature
from ggez_hub.embedded.names import pull_ref, target_ref
from ggez_hub.embedded.repository import GitRepository


@dataclass(frozen=True, slots=True)
class PullCommit:
    """The first commit of a pull request."""

    changes: Iterable[Change]
    message: str
    signature: Signature
    parent: str | None = None


class PullRequests:
    """The pull requests and other discussions of one repo."""

    def __init__(self, repo: RepoRecord, git: GitRepository, discussions: Discussions) -> None:
        self._repo = repo
        self._git = git
        self._discussions = discussions

    def discuss(self, title: str, author: str, text: str) -> Discussion:
        """Begin a discussion that is no pull request.

        Raises:
            InvalidRequestError: the title or the text is too short or too long.
        """
        opening = Opening(title, author, [commented(text)])
        with self._git.lock():
            return self._discussions.open(self._repo, opening, self._number())

    def draft(self, title: str, author: str, text: str, base: str) -> Discussion:
        """Begin a pull request into the branch `base` that changes nothing yet.

        Raises:
            InvalidRequestError: the title or the text is too short or too long.
            RevisionNotFoundError: there is no such branch.
        """
        opening = Opening(title, author, [commented(text)], "draft", base)
        with self._git.lock():
            return self._open(opening, self._git.head(base))

    def propose(
        self, title: str, author: str, text: str, base: str, commit: PullCommit
    ) -> Discussion:
        """Begin a pull request into the branch `base` with a commit.

        Raises:
            RevisionNotFoundError: there is no such branch.
            StaleParentError: the commit has a parent that is not the head of the branch.
            HubError: the changes cannot be applied to the branch.
        """
        with self._git.lock():
            head = self._git.write_commit(
                self._git.head(base, expected=commit.parent),
                commit.changes,
                message=commit.message,
                signature=commit.signature,
            )
            recorded: list[NewEvent] = [committed(commit.message.partition("\n")[0], head)]
            if text.strip():
                recorded.insert(0, commented(text))
            return self._open(Opening(title, author, recorded, "open", base), head)

    def comparison(self, pull: Discussion) -> Comparison:
        """A pull request against its target as both are now.

        Raises:
            RevisionNotFoundError: the target does not exist any longer.
        """
        head = self._git.refs.resolve(pull_ref(pull.number).decode())
        return compare(self._git.objects, self._git.head(pull.base), head)

    def merge(self, pull: Discussion, signature: Signature, text: str) -> str:
        """Put the changes of a pull request on its target as one commit; its id.

        Raises:
            InvalidRequestError: it is not an open pull request.
            ConflictError: both sides changed the same file.
            RevisionNotFoundError: the target does not exist any longer.
        """
        with self._git.lock():
            pull = self._discussions.get(self._repo, pull.number)
            if not pull.is_pull_request or pull.status != "open":
                raise InvalidRequestError("Only an open pull request can be merged")
            objects = self._git.objects
            comparison = self.comparison(pull)
            tree, target = merged_tree(objects, comparison), comparison.target
            # The same tree: an earlier merge was killed before it was recorded.
            if tree != objects.commit(target).tree.decode():
                message = merge_message(objects, comparison, pull.title, pull.number)
                merged = self._git.write_tree_commit(tree, [target], message, signature)
                self._git.move(target_ref(pull.base), target, merged)
                target = merged
            if text.strip():
                self._discussions.add(pull, signature.name, commented(text))
            self._discussions.set_status(pull, signature.name, "merged", target)
        return target

    def _open(self, opening: Opening, head: str) -> Discussion:
        number = self._number()
        self._git.refs.swap(pull_ref(number), None, head)
        return self._discussions.open(self._repo, opening, number)

    def _number(self) -> int:
        taken = [int(ref.name) for ref in self._git.refs.named("refs/pr/") if ref.name.isdigit()]
        return max([self._discussions.last_number(self._repo), *taken]) + 1


def require_pull(discussion: Discussion) -> Discussion:
    """A discussion that is a pull request to which commits can be added.

    Raises:
        RevisionNotFoundError: it is none.
        InvalidRequestError: it was merged.
    """
    if not discussion.is_pull_request:
        raise RevisionNotFoundError(f"Invalid rev id: refs/pr/{discussion.number}")
    if discussion.status == "merged":
        raise InvalidRequestError("This pull request was merged already")
    return discussion
