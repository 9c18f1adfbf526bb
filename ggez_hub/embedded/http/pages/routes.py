"""The addresses of pages, as the Hub has them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

from dulwich.objects import Commit
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.commits import Entry, author_name, title_and_message
from ggez_hub.embedded.discussions import Event
from ggez_hub.embedded.errors import (
    DiscussionNotFoundError,
    InvalidRequestError,
    RevisionNotFoundError,
)
from ggez_hub.embedded.history import first_parents
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.pages import lists
from ggez_hub.embedded.http.pages.markdown import rendered
from ggez_hub.embedded.http.pages.page import HERE, page, render, size_text
from ggez_hub.embedded.http.parameters import REST, REVISION, WEB, timestamp
from ggez_hub.embedded.lfs import is_binary
from ggez_hub.embedded.listing_index import CARD_FILE, RepoQuery
from ggez_hub.embedded.names import REPO_TYPES
from ggez_hub.embedded.pull_requests import PullRequests

_HOME: Final = 50
_PAGE: Final = 100
_LONGEST_TEXT: Final = 200_000

T = TypeVar("T")
# Of a blob, which never changes; the address of a repo and the revision are in the links.
_rendered = lru_cache(maxsize=64)(rendered)


class _Shown(NamedTuple):
    """A commit in a list."""

    id: str
    title: str
    message: str
    author: str
    date: str
    address: str


def home(request: Request) -> Response:
    """GET /: the repos that the caller may see, newest first."""
    principal = access.caller(request)
    visible = () if principal is None else principal.namespaces
    kinds = []
    for kind in REPO_TYPES:
        query = RepoQuery(
            kind=kind,
            visible=visible,
            author=None,
            words=[],
            tags=[],
            pipeline_tag=None,
            gated=None,
            sort="lastModified",
            ascending=False,
            with_files=False,
        )
        kinds.append((f"{kind.title()}s", access.store(request).listing(query, 0, _HOME)))
    return render("home", "Repositories", kinds=kinds)


def card(request: Request) -> Response:
    """GET /{id}: the card."""
    repo = access.readable(request)
    store = access.store(request)
    may_read = access.may_read(request, repo)
    with store.git(repo) as git:
        summary = store.summary(repo, git, None)
        text = git.snapshot().text(CARD_FILE) if summary and may_read else None
    return render(
        "card",
        repo.id,
        repo,
        "Card",
        tags=summary.tags if summary else [],
        may_read=may_read,
        base=str(request.base_url),
        card=_rendered(text.decode(errors="replace"), f"/{repo.url_path}") if text else None,
        without="It has no card." if summary else "It has no commits yet.",
    )


def tree(request: Request) -> Response:
    """GET /{id}/tree/{revision}[/{path}]: the files in a folder."""
    repo = access.readable(request)
    revision = request.path_params["revision"]
    path = request.path_params.get("path", "").strip("/")
    with access.store(request).git(repo) as git:
        snapshot = git.snapshot(revision)
        chosen, older = _page(request, snapshot.listing(path, recursive=False))
    entries = [
        (
            entry.path.rpartition("/")[2] + ("/" if entry.is_folder else ""),
            _address(repo, "tree" if entry.is_folder else "blob", revision, entry.path),
            "" if entry.is_folder else size_text(entry.size),
        )
        for entry in chosen
    ]
    return render(
        "tree",
        f"{path or 'Files'} · {repo.id}",
        repo,
        "Files",
        revision=revision,
        commit=snapshot.commit,
        crumbs=_crumbs(repo, revision, path),
        entries=entries,
        older=older,
    )


def blob(request: Request) -> Response:
    """GET /{id}/blob/{revision}/{path}: a file, its text if it is one."""
    repo = access.content(request)
    revision, path = request.path_params["revision"], request.path_params["path"]
    with access.store(request).git(repo) as git:
        snapshot = git.snapshot(revision)
        entry = snapshot.file(path)
        access.store(request).catalog.refuse_purged([entry.oid, entry.lfs.oid if entry.lfs else ""])
        text, without = _text(entry, snapshot.read(entry))
    return render(
        "file",
        f"{path} · {repo.id}",
        repo,
        "Files",
        revision=revision,
        crumbs=_crumbs(repo, revision, path),
        size=size_text(entry.size),
        sha256=entry.lfs.oid if entry.lfs else "",
        download=_address(repo, "resolve", revision, path),
        text=text,
        without=without,
    )


def _text(entry: Entry, data: bytes) -> tuple[str | None, str]:
    """The text of a file, or why it is not shown."""
    if entry.lfs is not None:
        return None, "This is a large file."
    if is_binary(data):
        return None, "This file is not text."
    if len(data) > _LONGEST_TEXT:
        return None, "This text is too long to be shown."
    return data.decode(), ""


def commits(request: Request) -> Response:
    """GET /{id}/commits/{revision}: newest first."""
    repo = access.readable(request)
    with access.store(request).git(repo) as git:
        start = git.refs.resolve(request.path_params["revision"])
        chosen, older = _page(request, first_parents(git.objects, start))
        shown = [_shown(repo, git.objects.commit(link.commit)) for link in chosen]
    return render("commits", f"Commits · {repo.id}", repo, "Commits", commits=shown, older=older)


def commit(request: Request) -> Response:
    """GET /{id}/commit/{revision}: the message, and the files that changed."""
    repo = access.readable(request)
    with access.store(request).git(repo) as git:
        link, *parents = first_parents(
            git.objects, git.refs.resolve(request.path_params["revision"])
        )
        shown = _shown(repo, git.objects.commit(link.commit))
        found = git.objects.changes(parents[0].tree if parents else None, link.tree)
    words = {(True, False): "added", (False, True): "removed", (False, False): "changed"}
    changes = [(item.path, words[item.before is None, item.after is None]) for item in found]
    return render(
        "commit",
        f"{shown.title} · {repo.id}",
        repo,
        "Commits",
        commit=shown,
        tree=_address(repo, "tree", shown.id, ""),
        may_read=access.may_read(request, repo),
        changes=changes[:_PAGE],
        more=max(len(changes) - _PAGE, 0),
    )


def discussions(request: Request) -> Response:
    """GET /{id}/discussions: newest first."""
    repo = access.readable(request)
    found = access.store(request).discussions.find(repo, "all", "all", None)
    chosen, older = _page(request, found)
    title = f"Discussions · {repo.id}"
    return render("discussions", title, repo, "Discussions", found=chosen, older=older)


def discussion(request: Request) -> Response:
    """GET /{id}/discussions/{number}: what was said, and what a pull request changes."""
    repo = access.readable(request)
    store = access.store(request)
    number = request.path_params["number"]
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        raise DiscussionNotFoundError(f"Discussion not found: {number[:64]}")
    thread = store.discussions.get(repo, int(number))
    diff = None
    if thread.is_pull_request and thread.status != "merged" and access.may_read(request, repo):
        with store.git(repo) as git:
            try:
                diff = PullRequests(repo, git, store.discussions).comparison(thread).diff()
            except RevisionNotFoundError:
                diff = "The branch that it is for was deleted."
    return render(
        "discussion",
        f"{thread.title} · {repo.id}",
        repo,
        "Discussions",
        thread=thread,
        events=[_event(event) for event in store.discussions.events(thread)],
        diff=diff,
    )


def style(request: Request) -> Response:
    """GET /-/style.css."""
    return FileResponse(HERE / "style.css", headers={"Cache-Control": "max-age=3600"})


def _event(event: Event) -> dict[str, Any]:
    content = event.content
    text: Markup | None = None
    match event.kind:
        case "comment":
            text, what = _rendered(content["text"]), "edited" if content["history"] else ""
        case "commit":
            what = f"added the commit {content['oid'][:12]}: {content['subject']}"
        case "status-change":
            what = f"changed the status to {content['status']}"
        case "title-change":
            what = f"changed the title from {content['from']} to {content['to']}"
    return {"author": event.author, "date": _date(event.created), "text": text, "what": what}


def _shown(repo: RepoRecord, commit: Commit) -> _Shown:
    title, message = title_and_message(commit)
    oid = commit.id.decode()
    address = _address(repo, "commit", oid, "").rstrip("/")
    return _Shown(oid, title, message, author_name(commit), _date(commit.commit_time), address)


def _date(seconds: int) -> str:
    return timestamp(seconds)[:16].replace("T", " ") + " UTC"


def _address(repo: RepoRecord, view: str, revision: str, path: str) -> str:
    name = quote(path.encode(errors="surrogateescape"))
    return f"/{repo.url_path}/{view}/{quote(revision, safe='')}" + (f"/{name}" if path else "")


def _crumbs(repo: RepoRecord, revision: str, path: str) -> list[tuple[str, str]]:
    """The folders that lead to a path, each with its address."""
    parts = path.split("/") if path else []
    below = [
        (part, _address(repo, "tree", revision, "/".join(parts[: depth + 1])))
        for depth, part in enumerate(parts[:-1])
    ]
    last = [(parts[-1], "")] if parts else []
    return [(repo.name, _address(repo, "tree", revision, "")), *below, *last]


def _page(request: Request, items: Sequence[T]) -> tuple[Sequence[T], int]:
    """The items of the page that the query asks for, and the number of the next page; 0 for none."""
    number = request.query_params.get("p", "0")
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        raise InvalidRequestError("'p' must be a number")
    start = int(number) * _PAGE
    more = len(items) > start + _PAGE
    return items[start : start + _PAGE], int(number) + 1 if more else 0


routes = [
    Route("/-/style.css", style, methods=["GET"]),
    *lists.routes,
    Route(WEB, page(card), methods=["GET"]),
    Route(f"{WEB}/tree/{REVISION}", page(tree), methods=["GET"]),
    Route(f"{WEB}/tree/{REVISION}/{REST}", page(tree), methods=["GET"]),
    Route(f"{WEB}/blob/{REVISION}/{REST}", page(blob), methods=["GET"]),
    Route(f"{WEB}/commits/{REVISION}", page(commits), methods=["GET"]),
    Route(f"{WEB}/commit/{REVISION}", page(commit), methods=["GET"]),
    Route(f"{WEB}/discussions", page(discussions), methods=["GET"]),
    Route(f"{WEB}/discussions/{{number:hub_segment}}", page(discussion), methods=["GET"]),
]
