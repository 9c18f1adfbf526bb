"""Commits, as newline-delimited JSON."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.accounts import Principal
from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.changes import Change, PutBlob, PutPointer, Remove
from ggez_hub.embedded.discussions import TITLE_LENGTH, Discussion
from ggez_hub.embedded.errors import (
    DiscussionNotFoundError,
    InvalidRequestError,
    RevisionNotFoundError,
    StaleParentError,
    TooLargeError,
)
from ggez_hub.embedded.events import committed
from ggez_hub.embedded.http import access, body
from ggez_hub.embedded.http.pagination import base_url, flag
from ggez_hub.embedded.http.path_parameters import API, REVISION
from ggez_hub.embedded.http.repo_routes import signature
from ggez_hub.embedded.lfs import Pointer, is_sha256
from ggez_hub.embedded.names import check_path, pull_number
from ggez_hub.embedded.pull_requests import PullCommit, PullRequests, require_pull
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


@dataclass(frozen=True, slots=True)
class _Header:
    summary: str
    description: str
    parent: str | None

    @property
    def message(self) -> str:
        return f"{self.summary}\n\n{self.description}" if self.description else self.summary

    @property
    def title(self) -> str:
        """The summary as the title of a pull request, which is neither empty nor long."""
        return " ".join(self.summary.split())[: TITLE_LENGTH.stop - 1].ljust(
            TITLE_LENGTH.start, "."
        )


@dataclass(frozen=True, slots=True)
class _Incoming:
    """A commit that is being received, and the repo that it is for."""

    request: Request
    repo: RepoRecord
    git: GitRepository


async def commit(request: Request) -> Response:
    """POST /api/models/{id}/commit/{revision}[?create_pr=1].

    Files are stored as their lines arrive, so no more than one is in memory; the branch moves at the end.
    """
    repo, _ = await run_in_threadpool(target, request)
    limits = access.limits(request)
    lines = body.read_lines(request, limits.commit_line, limits.commit_body)
    with access.store(request).git(repo) as git:
        incoming = _Incoming(request, repo, git)
        header, changes = await _receive(incoming, lines)
        return await run_in_threadpool(_commit, incoming, header, changes)


async def _receive(
    incoming: _Incoming, lines: AsyncIterator[bytes]
) -> tuple[_Header, list[Change]]:
    header: _Header | None = None
    changes: list[Change] = []
    most = access.limits(incoming.request).commit_files
    async for line in lines:
        item = body.parse_object(line)
        key, value = item.get("key"), item.get("value")
        if not isinstance(value, dict):
            raise InvalidRequestError("each line of a commit has a 'key' and a 'value'")
        if key == "header":
            header = _header(value)
        elif header is None:
            raise InvalidRequestError("the first line of a commit is its header")
        elif len(changes) == most:
            raise TooLargeError(f"A commit has at most {most} files: send several")
        else:
            changes.append(await run_in_threadpool(_change, incoming, key, value))
    if header is None:
        raise InvalidRequestError("a commit has a header")
    return header, changes


def _commit(incoming: _Incoming, header: _Header, changes: list[Change]) -> Response:
    request, git = incoming.request, incoming.git
    # Again, with the repo as it is now: it may have been moved or closed to the caller meanwhile.
    repo, principal = target(request)
    if repo != incoming.repo:
        raise StaleParentError
    store = access.store(request)
    home = f"{base_url(request)}/{repo.url_path}"
    answer: dict[str, Any] = {"success": True, "hookOutput": ""}
    branch_head(git, request)
    author = signature(principal)
    if opens_pull(request):
        first = PullCommit(changes, header.message, author, header.parent)
        pulls = PullRequests(repo, git, store.discussions)
        pull = pulls.propose(
            header.title, principal.name, header.description, revision(request), first
        )
        oid = git.head(f"refs/pr/{pull.number}")
        answer["pullRequestUrl"] = f"{home}/discussions/{pull.number}"
    else:
        oid = git.commit(
            revision(request),
            changes,
            message=header.message,
            signature=author,
            parent=header.parent,
        )
        if (pull_request := existing_pull(request)) is not None:
            event = committed(header.summary, oid)
            store.discussions.add(pull_request, principal.name, event)
    return JSONResponse({**answer, "commitOid": oid, "commitUrl": f"{home}/commit/{oid}"})


def _header(value: dict[str, Any]) -> _Header:
    summary = body.text(value, "summary")
    if not summary.strip():
        raise InvalidRequestError("the summary of a commit is empty")
    parent = body.text(value, "parentCommit", "") or None
    return _Header(summary, body.text(value, "description", ""), parent)


def _change(incoming: _Incoming, key: object, value: dict[str, Any]) -> Change:
    path = body.text(value, "path")
    match key:
        case "file":
            check_path(path)
            return PutBlob(path, _store_file(incoming, value))
        case "lfsFile":
            check_path(path)
            return PutPointer(path, _held(incoming, value.get("oid")))
        case "deletedFile" | "deletedFolder":
            return Remove(check_path(path.rstrip("/")), folder=key == "deletedFolder")
        case _:
            raise InvalidRequestError(f"{key!r} is not an operation of a commit")


def _store_file(incoming: _Incoming, value: dict[str, Any]) -> str:
    content = body.text(value, "content")
    match value.get("encoding", "utf-8"):
        case "base64":
            try:
                data = base64.b64decode(content, validate=True)
            except binascii.Error as error:
                raise InvalidRequestError("the content is not base64") from error
        case "utf-8":
            data = content.encode(errors="replace")
        case other:
            raise InvalidRequestError(f"{other!r} is not an encoding: use 'base64' or 'utf-8'")
    limit = access.limits(incoming.request).regular_file
    if len(data) > limit:
        raise TooLargeError(f"a file of more than {limit} bytes must be uploaded with LFS")
    pointer = Pointer.parse(data)
    if pointer is not None:
        # Served as the object it names, it could open a file of another repo.
        _held(incoming, pointer.oid)
    return incoming.git.objects.write_blob(data)


def _held(incoming: _Incoming, oid: object) -> Pointer:
    if not isinstance(oid, str) or not is_sha256(oid):
        raise InvalidRequestError("'oid' must be a sha256")
    size = access.store(incoming.request).catalog.linked(incoming.repo, [oid]).get(oid)
    if size is None:
        raise InvalidRequestError(f"LFS pointer pointed to a file that does not exist: {oid}")
    return Pointer(oid, size)


routes = [Route(f"{API}/commit/{REVISION}", commit, methods=["POST"])]
