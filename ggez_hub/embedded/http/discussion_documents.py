"""Discussions and their events as the Hub's API writes them."""

from __future__ import annotations

import html
from typing import Any

from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.discussions import Discussion
from ggez_hub.embedded.events import Event
from ggez_hub.embedded.http.info_routes import timestamp


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
