"""The caller of a request, and the repo of its path if they may see, read or change it.

A private repo does not exist for others: each route gets its repo from here, and the answer is the same
as for one that is missing. Like the Hub, that answer is 401 without a token and 404 with one.
"""

from __future__ import annotations

import base64
import binascii
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.requests import Request

from ggez_hub.embedded.access_control import (
    Principal,
    may_see,
    require_write,
    require_write_scope,
)
from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.commits import Signature
from ggez_hub.embedded.errors import (
    AuthenticationError,
    GatedRepoError,
    HubError,
    InvalidRequestError,
    PermissionDeniedError,
    RepoNotFoundError,
)
from ggez_hub.embedded.names import repo_type, split_repo_id
from ggez_hub.embedded.repository import GitRepository
from ggez_hub.embedded.store import HubStore


class Granted(NamedTuple):
    """What a caller may change: the repo, in its store."""

    store: HubStore
    repo: RepoRecord
    principal: Principal

    def git(self) -> GitRepository:
        """The git repository, to be used in a `with` block."""
        return self.store.git(self.repo)

    @property
    def signature(self) -> Signature:
        """A commit signature of the caller, now."""
        return signature(self.principal)


def store(request: Request) -> HubStore:
    """The store that the application serves."""
    found: HubStore = request.app.state.store
    return found


def caller(request: Request) -> Principal | None:
    """Who calls, None without a token; raises AuthenticationError for an unknown one."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "":
            return None
        case "bearer":
            token = credentials.strip()
        case "basic":
            if request.method not in {"GET", "HEAD"} and _is_foreign(request):
                # A browser sends what it was once told, for any page that asks it to.
                raise PermissionDeniedError("A web page of another site may not change this hub")
            # git-lfs sends the token as the password.
            try:
                plain = base64.b64decode(credentials, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                plain = ""
            token = plain.partition(":")[2]
        case _:
            token = ""
    return store(request).accounts.authenticate(token)


def _is_foreign(request: Request) -> bool:
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"none", "same-origin"}
    # Browsers say the first only where they trust the connection.
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.url.netloc


def known_caller(request: Request) -> Principal:
    """Who calls; raises AuthenticationError if there is no token, or an unknown one."""
    principal = caller(request)
    if principal is None:
        raise AuthenticationError("Invalid username or password.")
    return principal


def signature(principal: Principal) -> Signature:
    """A commit signature of the caller, now."""
    return Signature(principal.name, f"{principal.name}@localhost", int(time.time()))


def readable(request: Request) -> RepoRecord:
    """The repo of the request's path.

    Raises RepoNotFoundError, AuthenticationError, HubError if it has another name now, and can be
    read there.
    """
    params = request.path_params
    repo_id = f"{params['namespace']}/{params['name']}"
    try:
        return find(request, params["kind"], repo_id)
    except RepoNotFoundError:
        repo = _visible(request, params["kind"], repo_id, moved=True)
        if repo is None:
            raise
    if request.method in {"GET", "HEAD"}:
        path = request.scope["path"].replace(f"/{repo_id}", f"/{repo.id}", 1)
        query = f"?{request.url.query}" if request.url.query else ""
        # Relative: the client follows no redirect of a HEAD to another origin.
        raise HubError(f"{repo_id} is now {repo.id}", 307, {"Location": path + query})
    return repo


def content(request: Request) -> RepoRecord:
    """The repo of the request's path, if the caller may read its files.

    Raises GatedRepoError if it is gated, and the caller has not been granted access, and as
    `readable`.
    """
    repo = readable(request)
    if not may_read(request, repo):
        known = caller(request) is not None
        problem = (
            "you are not in the authorized list."
            if known
            else "you must have access to it and be authenticated to access it. Please log in."
        )
        raise GatedRepoError(
            f"Access to {repo.type} {repo.id} is restricted and {problem} "
            f"Visit {request.base_url}{repo.url_path} to ask for access.",
            None if known else 401,
        )
    return repo


def may_read(request: Request, repo: RepoRecord) -> bool:
    """Whether the caller may read the files of a repo that they see."""
    return store(request).grants.may_read(caller(request), repo)


def writable(request: Request) -> Granted:
    """The repo of the request's path, and who is about to change it.

    Raises AuthenticationError, PermissionDeniedError if the caller may not change it with this
    token, and as `readable`.
    """
    repo = readable(request)
    principal = known_caller(request)
    require_write(principal, repo.namespace)
    return Granted(store(request), repo, principal)


def contributable(request: Request) -> Granted:
    """The repo of the request's path, and who is about to discuss it or to propose a change.

    Raises AuthenticationError, PermissionDeniedError if the token may not write, and as `content`.
    """
    repo = content(request)
    principal = known_caller(request)
    require_write_scope(principal)
    return Granted(store(request), repo, principal)


def find(request: Request, kind: str, repo_id: str) -> RepoRecord:
    """A repo that the caller may see, by its present name.

    Raises RepoNotFoundError, AuthenticationError.
    """
    repo = _visible(request, kind, repo_id, moved=False)
    if repo is None:
        raise missing(request)
    return repo


def missing(request: Request) -> RepoNotFoundError:
    """The answer for a repo that does not exist for the caller."""
    if caller(request) is None:
        return RepoNotFoundError("Invalid username or password.", 401)
    return RepoNotFoundError("Repository not found")


def _visible(request: Request, kind: str, repo_id: str, *, moved: bool) -> RepoRecord | None:
    """The repo of a name, or of a name that it had before it was moved, if the caller may see it."""
    catalog, principal = store(request).catalog, caller(request)
    try:
        named = (repo_type(kind), *split_repo_id(repo_id))
    except InvalidRequestError:
        return None
    repo = catalog.moved(*named) if moved else catalog.find(*named)
    return repo if repo is not None and may_see(principal, repo) else None
