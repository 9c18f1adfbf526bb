"""Discussions and pull requests."""

from __future__ import annotations

import html
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.accounts import Principal
from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.discussions import Discussion
from ggez_hub.embedded.errors import (
    DiscussionNotFoundError,
    InvalidRequestError,
    PermissionDeniedError,
    RevisionNotFoundError,
)
from ggez_hub.embedded.events import Event, commented, edited, hidden
from ggez_hub.embedded.http import access, body
from ggez_hub.embedded.http.handlers import takes_json
from ggez_hub.embedded.http.info_routes import timestamp
from ggez_hub.embedded.http.pagination import flag
from ggez_hub.embedded.http.path_parameters import API
from ggez_hub.embedded.http.repo_routes import signature
from ggez_hub.embedded.pull_requests import PullRequests, diff
from ggez_hub.embedded.repository import DEFAULT_BRANCH


def discussion_document(repo: RepoRecord, discussion: Discussion) -> dict[str, Any]:
    """A discussion without its events."""
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


def event_document(event: Event) -> dict[str, Any]:
    """An event of a discussion."""
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
    return JSONResponse(
        {
            "discussions": [
                discussion_document(repo, item) for item in found[start : start + PAGE]
            ],
            "count": len(found),
            "start": start,
        }
    )


def details(request: Request) -> Response:
    """GET /api/models/{id}/discussions/{number}[?diff=1]."""
    repo = access.readable(request)
    store = access.store(request)
    discussion = _discussion(request, repo)
    document = discussion_document(repo, discussion)
    document["events"] = [event_document(event) for event in store.discussions.events(discussion)]
    if discussion.is_pull_request:
        document["changes"] = {"base": discussion.base, "mergeCommitId": discussion.merge_commit}
        document["filesWithConflicts"] = []
        if discussion.status != "merged":
            document |= _comparison(request, repo, discussion)
    return JSONResponse(document)


def _comparison(request: Request, repo: RepoRecord, pull: Discussion) -> dict[str, Any]:
    store = access.store(request)
    with store.git(repo) as git:
        try:
            comparison = PullRequests(repo, git, store.discussions).comparison(pull)
        except RevisionNotFoundError:
            # The target was deleted: there is nothing to compare with, nor to merge into.
            return {"filesWithConflicts": True}
        document: dict[str, Any] = {"filesWithConflicts": comparison.conflicts}
        if flag(request, "diff") and access.may_read(request, repo):
            document["diff"] = diff(git.objects, comparison)
    return document


@takes_json
def create(request: Request, data: dict[str, Any]) -> Response:
    """POST /api/models/{id}/discussions {title, description, pullRequest}."""
    repo, principal = access.contributable(request)
    title, text = body.text(data, "title"), body.text(data, "description", "")
    with _pulls(request, repo) as pulls:
        if data.get("pullRequest"):
            discussion = pulls.draft(title, principal.name, text, DEFAULT_BRANCH)
        else:
            discussion = pulls.discuss(title, principal.name, text)
    return JSONResponse(discussion_document(repo, discussion))


@takes_json
def comment(request: Request, data: dict[str, Any]) -> Response:
    """POST .../{number}/comment {comment}."""
    repo, principal = access.contributable(request)
    event = access.store(request).discussions.add(
        _discussion(request, repo), principal.name, commented(body.text(data, "comment"))
    )
    return JSONResponse({"newMessage": event_document(event)})


@takes_json
def edit(request: Request, data: dict[str, Any]) -> Response:
    """POST .../{number}/comment/{comment}/edit {content}: one's own comments."""
    repo, principal = access.contributable(request)
    discussions = access.store(request).discussions
    event = discussions.comment(_discussion(request, repo), request.path_params["comment"])
    if event.author != principal.name or event.content["hidden"]:
        raise PermissionDeniedError("Only a comment of your own that is not hidden can be edited")
    changed = discussions.rewrite(event, edited(event, body.text(data, "content")))
    return JSONResponse({"updatedComment": event_document(changed)})


def hide(request: Request) -> Response:
    """POST .../{number}/comment/{comment}/hide: one's own comments, or those in one's own repos."""
    repo, principal = access.contributable(request)
    discussions = access.store(request).discussions
    event = discussions.comment(_discussion(request, repo), request.path_params["comment"])
    _require_author(principal, event.author, repo)
    changed = discussions.rewrite(event, hidden(principal.name))
    return JSONResponse({"updatedComment": event_document(changed)})


@takes_json
def rename(request: Request, data: dict[str, Any]) -> Response:
    """POST .../{number}/title {title}."""
    repo, principal = access.contributable(request)
    discussion = _discussion(request, repo)
    _require_author(principal, discussion.author, repo)
    event = access.store(request).discussions.rename(
        discussion, principal.name, body.text(data, "title")
    )
    return JSONResponse({"newTitle": event_document(event)})


@takes_json
def change_status(request: Request, data: dict[str, Any]) -> Response:
    """POST .../{number}/status {status, comment}: open or closed."""
    repo, principal = access.contributable(request)
    discussions = access.store(request).discussions
    discussion = _discussion(request, repo)
    _require_author(principal, discussion.author, repo)
    status = data.get("status")
    if status not in ("open", "closed"):
        raise InvalidRequestError("'status' is 'open' or 'closed'")
    text = body.text(data, "comment", "")
    if text.strip():
        discussions.add(discussion, principal.name, commented(text))
    event = discussions.set_status(discussion, principal.name, status)
    return JSONResponse({"newStatus": event_document(event)})


@takes_json
def merge(request: Request, data: dict[str, Any]) -> Response:
    """POST .../{number}/merge {comment}."""
    repo, principal = access.writable(request)
    pull = _discussion(request, repo)
    with _pulls(request, repo) as pulls:
        oid = pulls.merge(pull, signature(principal), body.text(data, "comment", ""))
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


def _require_author(principal: Principal, author: str, repo: RepoRecord) -> None:
    if principal.name != author:
        access.require_write(principal, repo.namespace)


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
