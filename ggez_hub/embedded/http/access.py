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
    InvalidRequestError,
    PermissionDeniedError,
    RepoNotFoundError,
)
from ggez_hub.embedded.http.limits import Limits
from ggez_hub.embedded.names import repo_type, split_repo_id
from ggez_hub.embedded.signing import Signer
from ggez_hub.embedded.store import HubStore


class HiddenRepoError(RepoNotFoundError):
    """The repo is missing or private, and the caller has not said who they are."""

    status = 401


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
        AuthenticationError: the token is unknown.
    """
    params = request.path_params
    return find(request, params["kind"], f"{params['namespace']}/{params['name']}")


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


def find(request: Request, kind: str, repo_id: str) -> RepoRecord:
    """A repo that the caller may see.

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
    if not principal.may_write(namespace):
        if principal.scope != "write":
            raise PermissionDeniedError(
                "This token has the scope 'read'; one with 'write' is needed"
            )
        raise PermissionDeniedError(
            f"You don't have the rights to write to the namespace {namespace!r}"
        )
