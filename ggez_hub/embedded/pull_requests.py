"""Pull requests: a ref `refs/pr/<number>` in git, and a discussion of that number.

Both are made under the lock of the repo, the ref first: a server that is killed in between leaves a ref
that nobody knows of, and its number is not given again.

Merging is by whole files, as there are no working copies here in which lines could be reconciled: a file
that both sides changed differently is a conflict. The exception is `.gitattributes`, to which the hub itself
adds lines on both sides: the merged one has the lines of both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.changes import Change, TreeEditor
from ggez_hub.embedded.commits import Signature, title_and_message
from ggez_hub.embedded.differences import text_difference
from ggez_hub.embedded.discussions import (
    Discussion,
    Discussions,
    NewDiscussion,
    new_comment,
    new_commit,
)
from ggez_hub.embedded.errors import (
    ConflictError,
    InvalidRequestError,
    RevisionNotFoundError,
)
from ggez_hub.embedded.history import first_parents
from ggez_hub.embedded.lfs import ATTRIBUTES_FILE
from ggez_hub.embedded.names import pull_ref, target_ref
from ggez_hub.embedded.objects import FileChange, Objects
from ggez_hub.embedded.repository import GitRepository

MAX_LISTED_COMMITS: Final = 250


class PullRequests:
    """The pull requests and other discussions of one repo."""

    def __init__(self, repo: RepoRecord, git: GitRepository, discussions: Discussions) -> None:
        self._repo = repo
        self._git = git
        self._discussions = discussions

    def discuss(self, title: str, author: str, text: str) -> Discussion:
        """Begin a discussion that is not a pull request.

        Raises InvalidRequestError if the title or the text is too short or too long.
        """
        new = NewDiscussion(title, author, [new_comment(text)])
        with self._git.lock():
            return self._discussions.open(self._repo, new, self._number())

    def draft(self, title: str, author: str, text: str, base: str) -> Discussion:
        """Begin a pull request into the branch `base` that changes nothing yet.

        Raises RevisionNotFoundError, InvalidRequestError if the title or the text is too short or
        too long.
        """
        new = NewDiscussion(title, author, [new_comment(text)], "draft", base)
        with self._git.lock():
            return self._open(new, self._git.head(base))

    def propose(
        self,
        title: str,
        text: str,
        base: str,
        changes: Iterable[Change],
        *,
        message: str,
        signature: Signature,
        parent: str | None = None,
    ) -> Discussion:
        """Begin a pull request into the branch `base` with a commit.

        Raises RevisionNotFoundError, StaleParentError, HubError if the changes cannot be applied to
        the branch.
        """
        with self._git.lock():
            head = self._git.write_commit(
                self._git.head(base, expected=parent),
                changes,
                message=message,
                signature=signature,
            )
            events = [new_comment(text)] if text.strip() else []
            events.append(new_commit(message.partition("\n")[0], head))
            return self._open(NewDiscussion(title, signature.name, events, "open", base), head)

    def comparison(self, pull: Discussion) -> Comparison:
        """A pull request against its target as both are now. Raises RevisionNotFoundError."""
        head = self._git.refs.resolve(pull_ref(pull.number).decode())
        return Comparison.of(self._git.objects, self._git.head(pull.base), head)

    def merge(self, pull: Discussion, signature: Signature, text: str) -> str:
        """Put the changes of a pull request on its target as one commit; its id.

        Raises ConflictError, RevisionNotFoundError, InvalidRequestError if it is not an open pull
        request.
        """
        with self._git.lock():
            pull = self._discussions.get(self._repo, pull.number)
            if not pull.is_pull_request or pull.status != "open":
                raise InvalidRequestError("Only an open pull request can be merged")
            comparison = self.comparison(pull)
            tree, target = comparison.merged_tree(), comparison.target
            # The same tree: an earlier merge was killed before it was recorded.
            if tree != self._git.objects.commit(target).tree.decode():
                message = comparison.message(pull.title, pull.number)
                merged = self._git.write_tree_commit(tree, [target], message, signature)
                self._git.move(target_ref(pull.base), target, merged)
                target = merged
            if text.strip():
                self._discussions.add(pull, signature.name, new_comment(text))
            self._discussions.set_status(pull, signature.name, "merged", target)
        return target

    def _open(self, new: NewDiscussion, head: str) -> Discussion:
        number = self._number()
        self._git.refs.swap(pull_ref(number), None, head)
        return self._discussions.open(self._repo, new, number)

    def _number(self) -> int:
        taken = [int(ref.name) for ref in self._git.refs.named("refs/pr/") if ref.name.isdigit()]
        return max([self._discussions.last_number(self._repo), *taken]) + 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """A pull request against its target: what it changed since they parted, and what collides."""

    objects: Objects
    target: str
    head: str
    commits: list[str]
    changes: list[FileChange]
    conflicts: list[str]

    @classmethod
    def of(cls, objects: Objects, target: str, head: str) -> Comparison:
        """Compare the commit `head` of a pull request with the commit `target` of the branch it is for."""
        known = {link.commit for link in first_parents(objects, target)}
        commits = []
        base: str | None = None
        for link in first_parents(objects, head):
            if link.commit in known:
                base = link.tree
                break
            commits.append(link.commit)
        changes = objects.changes(base, objects.commit(head).tree.decode())
        theirs = TreeEditor(objects, objects.commit(target).tree.decode())
        conflicts = []
        for change in changes:
            there = theirs.entry(change.path)
            both_have_rules = change.path == ATTRIBUTES_FILE and change.after and there
            if not both_have_rules and (there and there[1]) not in {change.before, change.after}:
                conflicts.append(change.path)
        return cls(objects, target, head, commits, changes, conflicts)

    def merged_tree(self) -> str:
        """The files of the target with the changes of the pull request; the id of the tree.

        Raises ConflictError, InvalidPathError.
        """
        if self.conflicts:
            shown = ", ".join(self.conflicts[:5])
            raise ConflictError(f"The pull request conflicts with its target in: {shown}")
        editor = TreeEditor(self.objects, self.objects.commit(self.target).tree.decode())
        # Removals first: a file may have made place for a folder of its name.
        for change in sorted(self.changes, key=lambda change: change.after is not None):
            ours = editor.find(change.path)
            if change.after is not None:
                editor.put(change.path, self._merged_blob(change, ours, change.after))
            elif ours is not None:
                editor.remove(change.path, folder=False)
        return editor.write()

    def message(self, title: str, number: int) -> str:
        """The message of the commit that merges the pull request, which lists what went into it."""
        listed = [
            f"- {title_and_message(self.objects.commit(oid))[0]} ({oid})"
            for oid in reversed(self.commits[:MAX_LISTED_COMMITS])
        ]
        return "\n\n".join(filter(None, (f"{title} (#{number})", "\n".join(listed))))

    def diff(self) -> str:
        """The changes as git prints them, as much as can be shown."""
        return text_difference(self.objects, self.changes).decode(errors="replace")

    def _merged_blob(self, change: FileChange, ours: str | None, after: str) -> str:
        if change.path != ATTRIBUTES_FILE or ours in {None, change.before, after}:
            return after
        lines = dict.fromkeys(self.objects.blob(ours or after).splitlines())
        lines |= dict.fromkeys(self.objects.blob(after).splitlines())
        return self.objects.write_blob(b"".join(line + b"\n" for line in lines))


def require_pull(discussion: Discussion) -> Discussion:
    """A discussion that is a pull request to which commits can be added.

    Raises RevisionNotFoundError, InvalidRequestError if it was merged.
    """
    if not discussion.is_pull_request:
        raise RevisionNotFoundError.of(f"refs/pr/{discussion.number}")
    if discussion.status == "merged":
        raise InvalidRequestError("This pull request was merged already")
    return discussion
