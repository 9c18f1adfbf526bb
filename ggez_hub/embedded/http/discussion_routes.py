"""Discussions and pull requests."""

from __future__ import annotations

import html
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.access_control import require_write
from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.discussions import Discussion, Event, new_comment
from ggez_hub.embedded.errors import (
    DiscussionNotFoundError,
    PermissionDeniedError,
    RevisionNotFoundError,
)
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.body import Body, takes
from ggez_hub.embedded.http.parameters import API, flag, timestamp
from ggez_hub.embedded.pull_requests import PullRequests
from ggez_hub.embedded.repository import DEFAULT_BRANCH

PAGE: Final = 50
_THREAD: Final = f"{API}/discussions/{{number:hub_segment}}"
_COMMENT: Final = f"{_THREAD}/comment/{{comment:hub_segment}}"


def listing(request: Request) -> Response:
    """GET /api/models/{id}/discussions?type=&status=&author=&p=: newest first, by numbered pages."""
    repo = access.readable(request)
    query = request.query_params
    found = access.store(request).discussions.find(
        repo,
        query.get("type", "all") or "all",
        query.get("status", "all") or "all",
        query.get("author") or None,
    )
    start = PAGE * _number(query.get("p", "0"))
    shown = [_document(repo, item) for item in found[start : start + PAGE]]
    return JSONResponse({"discussions": shown, "count": len(found), "start": start})


async def details(request: Request) -> Response:
    """GET /api/models/{id}/discussions/{number}[?diff=1]."""
    # Differences take turns, so that they leave the threads of the others free.
    limiter = request.app.state.expanding if flag(request, "diff") else None
    return await to_thread.run_sync(_details, request, limiter=limiter)


def _details(request: Request) -> Response:
    repo = access.readable(request)
    store = access.store(request)
    discussion = _discussion(request, repo)
    document = _document(repo, discussion)
    document["events"] = [_event(event) for event in store.discussions.events(discussion)]
    if discussion.is_pull_request:
        document["changes"] = {"base": discussion.base, "mergeCommitId": discussion.merge_commit}
        document["filesWithConflicts"] = []
        if discussion.status != "merged":
            document |= _comparison(request, repo, discussion)
    return JSONResponse(document)


def _comparison(request: Request, repo: RepoRecord, pull: Discussion) -> dict[str, Any]:
    with _pulls(request, repo) as pulls:
        try:
            comparison = pulls.comparison(pull)
        except RevisionNotFoundError:
            # The target was deleted: there is nothing to compare with, nor to merge into.
            return {"filesWithConflicts": True}
        document: dict[str, Any] = {"filesWithConflicts": comparison.conflicts}
        if flag(request, "diff") and access.may_read(request, repo):
            document["diff"] = comparison.diff()
    return document


class _NewDiscussion(Body):
    title: str
    description: str = ""
    pullRequest: bool = False  # noqa: N815 - as the Hub spells it


@takes(_NewDiscussion, access.contributable)
def create(request: Request, granted: access.Granted, data: _NewDiscussion) -> Response:
    """POST /api/models/{id}/discussions {title, description, pullRequest}."""
    opening = data.title, granted.principal.name, data.description
    with _pulls(request, granted.repo) as pulls:
        if data.pullRequest:
            discussion = pulls.draft(*opening, DEFAULT_BRANCH)
        else:
            discussion = pulls.discuss(*opening)
    return JSONResponse(_document(granted.repo, discussion))


class _Comment(Body):
    comment: str


@takes(_Comment, access.contributable)
def comment(request: Request, granted: access.Granted, data: _Comment) -> Response:
    """POST .../{number}/comment {comment}."""
    thread = _discussion(request, granted.repo)
    comment = new_comment(data.comment)
    event = granted.store.discussions.add(thread, granted.principal.name, comment)
    return JSONResponse({"newMessage": _event(event)})


class _EditedComment(Body):
    content: str


@takes(_EditedComment, access.contributable)
def edit(request: Request, granted: access.Granted, data: _EditedComment) -> Response:
    """POST .../{number}/comment/{comment}/edit {content}: one's own comments."""
    event = _comment_of(request, granted)
    if event.author != granted.principal.name or event.content["hidden"]:
        raise PermissionDeniedError("Only a comment of your own that is not hidden can be edited")
    return JSONResponse(
        {"updatedComment": _event(granted.store.discussions.edit(event, data.content))}
    )


def hide(request: Request) -> Response:
    """POST .../{number}/comment/{comment}/hide: one's own comments, or those in one's own repos."""
    granted = access.contributable(request)
    event = _comment_of(request, granted)
    _require_author(granted, event.author)
    hidden = granted.store.discussions.hide(event, granted.principal.name)
    return JSONResponse({"updatedComment": _event(hidden)})


class _Title(Body):
    title: str


@takes(_Title, access.contributable)
def rename(request: Request, granted: access.Granted, data: _Title) -> Response:
    """POST .../{number}/title {title}."""
    discussion = _discussion(request, granted.repo)
    _require_author(granted, discussion.author)
    event = granted.store.discussions.rename(discussion, granted.principal.name, data.title)
    return JSONResponse({"newTitle": _event(event)})


class _Status(Body):
    status: Literal["open", "closed"]
    comment: str = ""


@takes(_Status, access.contributable)
def change_status(request: Request, granted: access.Granted, data: _Status) -> Response:
    """POST .../{number}/status {status, comment}: open or closed."""
    discussions, author = granted.store.discussions, granted.principal.name
    discussion = _discussion(request, granted.repo)
    _require_author(granted, discussion.author)
    if data.comment.strip():
        discussions.add(discussion, author, new_comment(data.comment))
    event = discussions.set_status(discussion, author, data.status)
    return JSONResponse({"newStatus": _event(event)})


class _Merge(Body):
    comment: str = ""


@takes(_Merge, access.writable)
def merge(request: Request, granted: access.Granted, data: _Merge) -> Response:
    """POST .../{number}/merge {comment}."""
    with _pulls(request, granted.repo) as pulls:
        pull = _discussion(request, granted.repo)
        oid = pulls.merge(pull, granted.signature, data.comment)
    return JSONResponse({"success": True, "mergeCommitId": oid})


@contextmanager
def _pulls(request: Request, repo: RepoRecord) -> Iterator[PullRequests]:
    store = access.store(request)
    with store.git(repo) as git:
        yield PullRequests(repo, git, store.discussions)


def _discussion(request: Request, repo: RepoRecord) -> Discussion:
    number = _number(request.path_params["number"])
    return access.store(request).discussions.get(repo, number)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise DiscussionNotFoundError(f"Discussion not found: {text[:64]}")
    return int(text)


def _comment_of(request: Request, granted: access.Granted) -> Event:
    thread = _discussion(request, granted.repo)
    return granted.store.discussions.comment(thread, request.path_params["comment"])


def _require_author(granted: access.Granted, author: str) -> None:
    if granted.principal.name != author:
        require_write(granted.principal, granted.repo.namespace)


def _document(repo: RepoRecord, discussion: Discussion) -> dict[str, Any]:
    return {
        "num": discussion.number,
        "author": _author(discussion.author),
        "repo": {"name": repo.id, "type": repo.type},
        "title": discussion.title,
        "status": discussion.status,
        "createdAt": timestamp(discussion.created),
        "isPullRequest": discussion.is_pull_request,
        "numComments": discussion.comments,
        "pinned": False,
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "author": _author(event.author),
        "createdAt": timestamp(event.created),
        "type": event.kind,
        "data": _comment(event) if event.kind == "comment" else event.content,
    }


def _comment(event: Event) -> dict[str, Any]:
    content = event.content
    latest = _version(event, content["text"], content.get("updated", event.created))
    latest["author"] = _author(content.get("hidden_by", event.author))
    return {
        "edited": bool(content["history"]),
        "hidden": content["hidden"],
        "latest": latest,
        "history": [_version(event, old["text"], old["updated"]) for old in content["history"]],
        "numEdits": len(content["history"]),
    }


def _version(event: Event, text: str, updated: int) -> dict[str, Any]:
    # Markdown is for the page that shows it; as HTML it is given as the text that it is.
    return {
        "raw": text,
        "html": f"<p>{html.escape(text)}</p>",
        "updatedAt": timestamp(updated),
        "author": _author(event.author),
    }


def _author(name: str) -> dict[str, Any]:
    return {"name": name, "type": "user", "avatarUrl": ""}


routes = [
    Route(f"{API}/discussions", listing, methods=["GET"]),
    Route(f"{API}/discussions", create, methods=["POST"]),
    Route(_THREAD, details, methods=["GET"]),
    Route(f"{_THREAD}/comment", comment, methods=["POST"]),
    Route(f"{_THREAD}/title", rename, methods=["POST"]),
    Route(f"{_THREAD}/status", change_status, methods=["POST"]),
    Route(f"{_THREAD}/merge", merge, methods=["POST"]),
    Route(f"{_COMMENT}/edit", edit, methods=["POST"]),
    Route(f"{_COMMENT}/hide", hide, methods=["POST"]),
]
