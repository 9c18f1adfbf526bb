"""Commits, as newline-delimited JSON, and what a client asks before it sends one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, Literal, NamedTuple

from pydantic import Field
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded import cards
from ggez_hub.embedded.access_control import require_write
from ggez_hub.embedded.changes import Change, PutBlob, PutPointer, Remove
from ggez_hub.embedded.commits import Snapshot
from ggez_hub.embedded.discussions import TITLE_LENGTH, Discussion, new_commit
from ggez_hub.embedded.errors import (
    DiscussionNotFoundError,
    InvalidRequestError,
    RevisionNotFoundError,
    StaleParentError,
    TooLargeError,
)
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.body import (
    Body,
    RepoPath,
    Sha256,
    check,
    decoded,
    limits,
    parse,
    read_lines,
    takes,
)
from ggez_hub.embedded.http.parameters import API, REVISION, flag
from ggez_hub.embedded.lfs import Pointer, ignored
from ggez_hub.embedded.names import check_path, pull_number
from ggez_hub.embedded.pull_requests import PullRequests, require_pull
from ggez_hub.embedded.repository import DEFAULT_BRANCH, GitRepository


def target(request: Request) -> access.Granted:
    """The repo to which a commit goes, and who makes it.

    Whoever may read a repo may propose changes to it, and add to their own proposals. Raises
    RevisionNotFoundError, PermissionDeniedError if the caller may not commit there with this token,
    and as `access.writable` and `access.contributable`.
    """
    if flag(request, "create_pr"):
        return access.contributable(request)
    pull = _existing_pull(request)
    if pull is None:
        return access.writable(request)
    granted = access.contributable(request)
    if pull.author != granted.principal.name:
        require_write(granted.principal, granted.repo.namespace)
    return granted


def _existing_pull(request: Request) -> Discussion | None:
    """The pull request in the request's path; None where there is a branch.

    Raises RevisionNotFoundError, InvalidRequestError if it was merged, and as `access.readable`.
    """
    number = pull_number(request.path_params["revision"])
    if number is None:
        return None
    repo = access.readable(request)
    try:
        return require_pull(access.store(request).discussions.get(repo, number))
    except DiscussionNotFoundError:
        raise RevisionNotFoundError.of(f"refs/pr/{number}") from None


def _branch(request: Request) -> str:
    """The branch, or the full ref of a pull request, in the request's path."""
    value: str = request.path_params["revision"]
    return value.removeprefix("refs/heads/")


def _branch_head(git: GitRepository, request: Request) -> str | None:
    """The commit to which a commit is added, None for the first one of a repo.

    Raises RevisionNotFoundError.
    """
    branch = _branch(request)
    head = git.refs.head(branch)
    if head is None and branch != DEFAULT_BRANCH:
        raise RevisionNotFoundError.of(branch)
    return head


class _CardText(Body):
    content: str


@takes(_CardText, lambda _: None)
def validate_yaml(request: Request, granted: None, data: _CardText) -> Response:
    """POST /api/validate-yaml: the client asks before it commits a README.md."""
    errors: list[str] = []
    warnings: list[str] = []
    try:
        card = cards.front_matter(data.content.encode())
    except cards.CardError as error:
        errors.append(str(error))
    else:
        errors += cards.problems(card)
        if not card:
            warnings.append("empty or missing yaml metadata in repo card")
    return JSONResponse(
        {
            "errors": [{"message": message} for message in errors],
            "warnings": [{"message": message} for message in warnings],
        },
        400 if errors else 200,
    )


class _AnnouncedFile(Body):
    path: RepoPath
    size: int = Field(ge=0)
    sample: str = ""


class _Announcement(Body):
    files: list[_AnnouncedFile]
    gitIgnore: str = ""  # noqa: N815 - as the Hub spells it


@takes(_Announcement, target)
def preupload(request: Request, granted: access.Granted, data: _Announcement) -> Response:
    """POST /api/models/{id}/preupload/{revision}: how each file is to be sent."""
    with granted.git() as git:
        head = _branch_head(git, request)
        snapshot = Snapshot(git.objects, head) if head else None
        attributes = git.attributes(head)
        rules = data.gitIgnore.encode()
        if not rules and snapshot is not None:
            rules = snapshot.text(".gitignore") or b""
        answer = []
        _check_quota(granted, data.files)
        for file in data.files:
            lfs = attributes.wants_lfs(file.path, file.size, decoded(file.sample))
            entry = snapshot.find(file.path) if snapshot else None
            present = entry.lfs.oid if entry and entry.lfs else entry.oid if entry else None
            answer.append(
                {
                    "path": file.path,
                    "uploadMode": "lfs" if lfs else "regular",
                    "shouldIgnore": ignored(rules, file.path),
                    "oid": present,
                }
            )
    return JSONResponse({"files": answer})


def _check_quota(granted: access.Granted, files: Iterable[_AnnouncedFile]) -> None:
    """Refuse here what is clearly too much: clients that speak Xet do not show why it is refused later.

    What has the size of something that the repo holds may be the same, and is judged when it comes.
    """
    store, repo, _ = granted
    if store.quotas.get(repo.namespace) is not None:
        held = store.catalog.sizes(repo)
        store.quotas.check(
            repo.namespace, sum(file.size for file in files if file.size not in held)
        )


class _Header(Body):
    summary: str = Field(pattern=r"\S")
    description: str = ""
    parentCommit: str = ""  # noqa: N815 - as the Hub spells it

    @property
    def message(self) -> str:
        return f"{self.summary}\n\n{self.description}" if self.description else self.summary

    @property
    def title(self) -> str:
        """The summary as the title of a pull request, which is neither empty nor long."""
        title = " ".join(self.summary.split())[: TITLE_LENGTH.stop - 1]
        return title.ljust(TITLE_LENGTH.start, ".")


class _File(Body):
    path: RepoPath
    content: str
    encoding: Literal["base64", "utf-8"] = "utf-8"


class _LfsFile(Body):
    path: RepoPath
    oid: Sha256


class _Removal(Body):
    path: str


class _Line(Body):
    key: str
    value: dict[str, Any]


class _Incoming(NamedTuple):
    """A commit that is being received, and the repo that it is for."""

    request: Request
    granted: access.Granted
    git: GitRepository


async def commit(request: Request) -> Response:
    """POST /api/models/{id}/commit/{revision}[?create_pr=1].

    Files are stored as their lines arrive, so no more than one is in memory; the branch moves at the end.
    """
    granted = await run_in_threadpool(target, request)
    with granted.git() as git:
        incoming = _Incoming(request, granted, git)
        header, changes = await _receive(incoming, read_lines(request))
        return await run_in_threadpool(_commit, incoming, header, changes)


async def _receive(
    incoming: _Incoming, lines: AsyncIterator[bytes]
) -> tuple[_Header, list[Change]]:
    header: _Header | None = None
    changes: list[Change] = []
    most = limits(incoming.request).commit_files
    async for text in lines:
        line = check(_Line, parse(text))
        if line.key == "header":
            header = check(_Header, line.value)
        elif header is None:
            raise InvalidRequestError("the first line of a commit is its header")
        elif len(changes) == most:
            raise TooLargeError(f"A commit has at most {most} files: send several")
        else:
            changes.append(await run_in_threadpool(_change, incoming, line))
    if header is None:
        raise InvalidRequestError("a commit has a header")
    return header, changes


def _commit(incoming: _Incoming, header: _Header, changes: list[Change]) -> Response:
    request, git = incoming.request, incoming.git
    # Again, with the repo as it is now: it may have been moved or closed to the caller.
    store, repo, principal = granted = target(request)
    if repo != incoming.granted.repo:
        raise StaleParentError
    home = f"{request.base_url}{repo.url_path}"
    answer: dict[str, Any] = {"success": True, "hookOutput": ""}
    _branch_head(git, request)
    if any(not isinstance(change, Remove) for change in changes):
        # Who deletes may do so whatever they hold.
        store.quotas.check(repo.namespace, git.objects.pending)
    made: dict[str, Any] = {
        "message": header.message,
        "signature": granted.signature,
        "parent": header.parentCommit or None,
    }
    if flag(request, "create_pr"):
        pull = PullRequests(repo, git, store.discussions).propose(
            header.title,
            header.description,
            _branch(request),
            _checked(incoming, changes),
            **made,
        )
        oid = git.head(f"refs/pr/{pull.number}")
        answer["pullRequestUrl"] = f"{home}/discussions/{pull.number}"
    else:
        oid = git.commit(_branch(request), _checked(incoming, changes), **made)
        if (existing := _existing_pull(request)) is not None:
            store.discussions.add(existing, principal.name, new_commit(header.summary, oid))
    store.quotas.grew(repo, git.objects.written)
    answer |= {"commitOid": oid, "commitUrl": f"{home}/commit/{oid}"}
    return JSONResponse(answer, background=BackgroundTask(store.tidy, repo))


def _checked(incoming: _Incoming, changes: Iterable[Change]) -> Iterator[Change]:
    """The changes, as they are made: the lock is held by then, and what they refer to stays."""
    for change in changes:
        if isinstance(change, PutPointer):
            _held(incoming, change.pointer.oid)
        yield change


def _change(incoming: _Incoming, line: _Line) -> Change:
    match line.key:
        case "file":
            file = check(_File, line.value)
            return PutBlob(file.path, _store_file(incoming, file))
        case "lfsFile":
            large = check(_LfsFile, line.value)
            return PutPointer(large.path, _held(incoming, large.oid))
        case "deletedFile" | "deletedFolder":
            path = check_path(check(_Removal, line.value).path.rstrip("/"))
            return Remove(path, folder=line.key == "deletedFolder")
        case other:
            raise InvalidRequestError(f"{other!r} is not an operation of a commit")


def _store_file(incoming: _Incoming, file: _File) -> str:
    data = decoded(file.content) if file.encoding == "base64" else file.content.encode()
    limit = limits(incoming.request).regular_file
    if len(data) > limit:
        raise TooLargeError(f"a file of more than {limit} bytes must be uploaded with LFS")
    pointer = Pointer.parse(data)
    if pointer is not None:
        # Served as the object it names, it could open a file of another repo.
        _held(incoming, pointer.oid)
    blob = incoming.git.objects.write_blob(data)
    incoming.granted.store.catalog.refuse_purged([blob])
    return blob


def _held(incoming: _Incoming, oid: str) -> Pointer:
    store, repo, _ = incoming.granted
    size = store.catalog.linked(repo, [oid]).get(oid)
    if size is None:
        raise InvalidRequestError(f"LFS pointer pointed to a file that does not exist: {oid}")
    return Pointer(oid, size)


routes = [
    Route("/api/validate-yaml", validate_yaml, methods=["POST"]),
    Route(f"{API}/preupload/{REVISION}", preupload, methods=["POST"]),
    Route(f"{API}/commit/{REVISION}", commit, methods=["POST"]),
]
