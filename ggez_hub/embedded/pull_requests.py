"""Pull requests: a ref `refs/pr/<number>` in git, and a discussion of that number.

Both are made under the lock of the repo, the ref first: a server that is killed in between leaves a ref
that nobody knows of, and its number is not given again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from typing import Final

from dulwich.patch import write_object_diff

from ggez_hub.embedded.attributes import ATTRIBUTES_FILE
from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.changes import Change, TreeEditor, decode
from ggez_hub.embedded.commits import Signature, ancestry, locate
from ggez_hub.embedded.discussions import Discussion, Discussions, NewDiscussion
from ggez_hub.embedded.errors import ConflictError, InvalidRequestError, RevisionNotFoundError
from ggez_hub.embedded.events import NewEvent, commented, committed
from ggez_hub.embedded.names import pull_ref, target_ref
from ggez_hub.embedded.objects import FileChange, Objects
from ggez_hub.embedded.repository import GitRepository

MAX_DIFF_BYTES: Final = 1 << 20
MAX_DIFFED_FILE: Final = 256 << 10
MAX_LISTED_COMMITS: Final = 250


@dataclass(frozen=True, slots=True)
class Comparison:
    """A pull request against its target: what it changed since they parted, and what collides."""

    target: str
    head: str
    commits: list[str]
    changes: list[FileChange]
    conflicts: list[str]


def compare(objects: Objects, target: str, head: str) -> Comparison:
    """Compare the commit `head` of a pull request with the commit `target` of the branch it is for."""
    known = {commit.id.decode() for commit in ancestry(objects, target)}
    commits = []
    base: str | None = None
    for commit in ancestry(objects, head):
        if commit.id.decode() in known:
            base = commit.tree.decode()
            break
        commits.append(commit.id.decode())
    changes = objects.changes(base, objects.commit(head).tree.decode())
    theirs = objects.commit(target).tree.decode()
    conflicts = []
    for change in changes:
        there = locate(objects, theirs, change.path)
        if _both_have(change, there):
            continue
        if (there[1] if there else None) not in {change.before, change.after}:
            conflicts.append(change.path)
    return Comparison(target, head, commits, changes, conflicts)


def merged_tree(objects: Objects, comparison: Comparison) -> str:
    """The files of the target with the changes of the pull request; the id of the tree.

    Raises:
        ConflictError: both sides changed the same file.
        InvalidPathError: a name of the one side collides with one of the other.
    """
    if comparison.conflicts:
        shown = ", ".join(comparison.conflicts[:5])
        raise ConflictError(f"The pull request conflicts with its target in: {shown}")
    editor = TreeEditor(objects, objects.commit(comparison.target).tree.decode())
    # Removals first: a file may have made place for a folder of its name.
    for change in sorted(comparison.changes, key=lambda change: change.after is not None):
        if change.after is not None:
            editor.put(change.path, _merged_blob(objects, editor, change, change.after))
        elif editor.find(change.path) is not None:
            editor.remove(change.path, folder=False)
    return editor.write()


def _both_have(change: FileChange, there: tuple[int, str] | None) -> bool:
    return change.path == ATTRIBUTES_FILE and change.after is not None and there is not None


def _merged_blob(objects: Objects, editor: TreeEditor, change: FileChange, after: str) -> str:
    ours = editor.find(change.path)
    if change.path != ATTRIBUTES_FILE or ours in {None, change.before, after}:
        return after
    lines = dict.fromkeys(objects.blob(ours or after).splitlines())
    lines |= dict.fromkeys(objects.blob(after).splitlines())
    return objects.write_blob(b"".join(line + b"\n" for line in lines))


def merge_message(objects: Objects, comparison: Comparison, title: str, number: int) -> str:
    """The message of the commit that merges a pull request, which lists what went into it."""
    listed = []
    for oid in islice(comparison.commits, MAX_LISTED_COMMITS):
        subject = objects.commit(oid).message.decode(errors="replace").partition("\n")[0]
        listed.append(f"- {subject} ({oid})")
    return "\n\n".join(filter(None, (f"{title} (#{number})", "\n".join(reversed(listed)))))


def diff(objects: Objects, comparison: Comparison) -> str:
    """The changes as git prints them; files that are long are named, and a long diff is cut."""
    out = BytesIO()
    for change in comparison.changes:
        if out.tell() > MAX_DIFF_BYTES:
            out.write(b"The rest of the difference is too long to be shown.\n")
            break
        if max(map(objects.size, filter(None, (change.before, change.after)))) > MAX_DIFFED_FILE:
            out.write(f"diff --git a/{change.path} b/{change.path}\n".encode(errors="replace"))
            out.write(b"The difference is too long to be shown.\n")
            continue
        write_object_diff(out, objects.store, *change.sides)
    return decode(out.getvalue()).encode(errors="replace").decode()


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
        opening = NewDiscussion(title, author, [commented(text)])
        with self._git.lock():
            return self._discussions.open(self._repo, opening, self._number())

    def draft(self, title: str, author: str, text: str, base: str) -> Discussion:
        """Begin a pull request into the branch `base` that changes nothing yet.

        Raises:
            InvalidRequestError: the title or the text is too short or too long.
            RevisionNotFoundError: there is no such branch.
        """
        opening = NewDiscussion(title, author, [commented(text)], "draft", base)
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
            return self._open(NewDiscussion(title, author, recorded, "open", base), head)

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

    def _open(self, opening: NewDiscussion, head: str) -> Discussion:
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
