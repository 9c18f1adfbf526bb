"""Who calls, and which repo they may see or change.

A private repo does not exist for others: each route gets its repo from here, and the answer is the same
as for one that is missing. Like the Hub, that answer is 401 without a token and 404 with one.
"""

from __future__ import annotations

import base64
import binascii

from starlette.requests import Request

from ggez_hub.embedded.accounts import Principal
from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.errors import (
    AuthenticationError,
    GatedRepoError,
    InvalidRequestError,
    PermissionDeniedError,
    RepoNotFoundError,
)
from ggez_hub.embedded.http.errors import HiddenRepoError, RepoMovedError, UnknownGatedRepoError
from ggez_hub.embedded.http.limits import Limits
from ggez_hub.embedded.lfs import Signer
from ggez_hub.embedded.names import repo_type, split_repo_id
from ggez_hub.embedded.store import HubStore


def store(request: Request) -> HubStore:
    """The store that the application serves."""
    found: HubStore = request.app.state.store
    return found


def limits(request: Request) -> Limits:
    """The limits of the application."""
    found: Limits = request.app.state.limits
    return found


def signer(request: Request) -> Signer:
    """What signs the upload addresses."""
    return store(request).signer


def caller(request: Request) -> Principal | None:
    """Who calls, None without a token.

    Raises:
        AuthenticationError: the token is unknown.
    """
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "":
            return None
        case "bearer":
            return store(request).accounts.authenticate(credentials.strip())
        case "basic":
            # git-lfs sends the token as the password.
            try:
                plain = base64.b64decode(credentials, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                plain = ""
            return store(request).accounts.authenticate(plain.partition(":")[2])
        case _:
            raise AuthenticationError("Invalid credentials in Authorization header")


def known_caller(request: Request) -> Principal:
    """Who calls.

    Raises:
        AuthenticationError: there is no token, or an unknown one.
    """
    principal = caller(request)
    if principal is None:
        raise AuthenticationError("Invalid username or password.")
    return principal


def may_see(principal: Principal | None, repo: RepoRecord) -> bool:
    """Whether a repo exists for the caller."""
    return not repo.private or (principal is not None and principal.belongs_to(repo.namespace))


def readable(request: Request) -> RepoRecord:
    """The repo of the request's path.

    Raises:
        RepoNotFoundError: it is missing, or private and not the caller's.
        RepoMovedError: it has another name now, and can be read there.
        AuthenticationError: the token is unknown.
    """
    params = request.path_params
    repo_id = f"{params['namespace']}/{params['name']}"
    try:
        return find(request, params["kind"], repo_id)
    except RepoNotFoundError:
        repo = _moved(request, params["kind"], repo_id)
        if repo is None:
            raise
        if request.method in {"GET", "HEAD"}:
            raise RepoMovedError(
                f"{repo_id} is now {repo.id}", _moved_address(request, repo)
            ) from None
        return repo


def content(request: Request) -> RepoRecord:
    """The repo of the request's path, if the caller may read its files.

    Raises:
        RepoNotFoundError: it is missing, or private and not the caller's.
        GatedRepoError: it is gated, and the caller has not been granted access.
        AuthenticationError: the token is unknown.
    """
    repo = readable(request)
    require_content(request, repo)
    return repo


def require_content(request: Request, repo: RepoRecord) -> None:
    """Pass a caller who may read the files of a repo that they see.

    Raises:
        GatedRepoError: it is gated, and the caller has not been granted access.
    """
    if not may_read(request, repo):
        page = f"{request.url.scheme}://{request.url.netloc}/{repo.url_path}"
        if caller(request) is None:
            raise UnknownGatedRepoError(
                f"Access to {repo.type} {repo.id} is restricted. You must have access to it and be "
                f"authenticated to access it. Please log in. Visit {page} to ask for access."
            )
        raise GatedRepoError(
            f"Access to {repo.type} {repo.id} is restricted and you are not in the authorized list. "
            f"Visit {page} to ask for access."
        )


def may_read(request: Request, repo: RepoRecord) -> bool:
    """Whether the caller may read the files of a repo that they see."""
    if repo.gated is None:
        return True
    principal = caller(request)
    if principal is None:
        return False
    return principal.belongs_to(repo.namespace) or store(request).grants.accepted(repo, principal)


def writable(request: Request) -> tuple[RepoRecord, Principal]:
    """The repo of the request's path, and who is about to change it.

    Raises:
        RepoNotFoundError: it is missing, or private and not the caller's.
        AuthenticationError: there is no token, or an unknown one.
        PermissionDeniedError: the caller may not change it with this token.
    """
    repo = readable(request)
    principal = known_caller(request)
    require_write(principal, repo.namespace)
    return repo, principal


def contributable(request: Request) -> tuple[RepoRecord, Principal]:
    """The repo of the request's path, and who is about to discuss it or to propose a change.

    Raises:
        RepoNotFoundError: it is missing, or private and not the caller's.
        GatedRepoError: it is gated, and the caller has not been granted access.
        AuthenticationError: there is no token, or an unknown one.
        PermissionDeniedError: the token may not write.
    """
    repo = content(request)
    principal = known_caller(request)
    require_write_scope(principal)
    return repo, principal


def find(request: Request, kind: str, repo_id: str) -> RepoRecord:
    """A repo that the caller may see, by its present name.

    Raises:
        RepoNotFoundError: it is missing, or private and not the caller's.
        AuthenticationError: the token is unknown.
    """
    principal = caller(request)
    try:
        repo = store(request).catalog.find(repo_type(kind), *split_repo_id(repo_id))
    except InvalidRequestError:
        repo = None
    if repo is None or not may_see(principal, repo):
        raise missing(principal)
    return repo


def _moved(request: Request, kind: str, repo_id: str) -> RepoRecord | None:
    try:
        repo = store(request).catalog.moved(repo_type(kind), *split_repo_id(repo_id))
    except InvalidRequestError:
        return None
    return repo if repo is not None and may_see(caller(request), repo) else None


def _moved_address(request: Request, repo: RepoRecord) -> str:
    params = request.path_params
    old = f"/{params['namespace']}/{params['name']}"
    path = request.scope["path"].replace(old, f"/{repo.id}", 1)
    query = request.scope.get("query_string", b"").decode("latin-1")
    return f"{path}?{query}" if query else path


def missing(principal: Principal | None) -> RepoNotFoundError:
    """The answer for a repo that does not exist for the caller."""
    if principal is None:
        return HiddenRepoError("Invalid username or password.")
    return RepoNotFoundError("Repository not found")


def require_write(principal: Principal, namespace: str) -> None:
    """Pass a caller who may change repos of `namespace`.

    Raises:
        PermissionDeniedError: they may not, with this token.
    """
    require_write_scope(principal)
    if not principal.may_write(namespace):
        raise PermissionDeniedError(
            f"You don't have the rights to write to the namespace {namespace!r}"
        )


def require_write_scope(principal: Principal) -> None:
    """Pass a caller whose token may write.

    Raises:
        PermissionDeniedError: it may only read.
    """
    if principal.scope != "write":
        raise PermissionDeniedError("This token has the scope 'read'; one with 'write' is needed")
