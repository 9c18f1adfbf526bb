"""Tokens of the Xet protocol: for one repo, to read or to write, for an hour.

https://huggingface.co/docs/xet/auth
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ggez_hub.embedded.access_control import Principal, may_see
from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.errors import AuthenticationError, PermissionDeniedError
from ggez_hub.embedded.http import access
from ggez_hub.embedded.store import HubStore

# The address of the protocol is one of its own for each repo: clients remember by the address what they
# need not send again.
CAS = "/xet/{repo:hub_segment}/{generation:hub_segment}"

Right = Literal["read", "write"]


class Caller(NamedTuple):
    """Who shows a token of Xet: for which repo, and what they may do there."""

    store: HubStore
    repo: RepoRecord
    principal: Principal | None
    right: Right


def cas_url(request: Request, repo: RepoRecord) -> str:
    """The address of the protocol for a repo."""
    generation = access.store(request).xet.catalog.generation
    return f"{request.base_url}xet/{repo.key}/{generation}"


def connection_headers(
    request: Request, repo: RepoRecord, principal: Principal | None, right: Right
) -> dict[str, str]:
    """Where a client finds the protocol for a repo, and a token for it."""
    store = access.store(request)
    account = principal.key if principal else 0
    signed = store.signer.sign("xet", right, repo.key, account)
    token = f"xet_{right}_{repo.key}_{account}_{signed['expires']}_{signed['signature']}"
    return {
        "X-Xet-Cas-Url": cas_url(request, repo),
        "X-Xet-Access-Token": token,
        "X-Xet-Token-Expiration": str(signed["expires"]),
    }


def connection(
    request: Request, repo: RepoRecord, principal: Principal | None, right: Right
) -> Response:
    """The answer to who asks for a token."""
    headers = connection_headers(request, repo, principal, right)
    address, token, expires = headers.values()
    document = {"casUrl": address, "accessToken": token, "exp": int(expires)}
    return JSONResponse(document, headers=headers)


def caller(request: Request, right: Right) -> Caller:
    """Who calls; raises AuthenticationError, PermissionDeniedError, as their rights are now."""
    store = access.store(request)
    token = request.headers.get("authorization", "").partition(" ")[2].strip()
    try:
        _, granted, key, account, expires, signature = token.split("_")
        store.signer.check(
            *("xet", granted, key, account), expires=int(expires), signature=signature
        )
    except (ValueError, PermissionDeniedError) as error:
        raise AuthenticationError("The token of Xet is not valid, or has expired") from error
    scope: Right = "write" if granted == "write" else "read"
    principal = store.accounts.by_key(int(account), scope)
    repo = store.catalog.by_key(int(key))
    if request.path_params["repo"] != key or (right, scope) == ("write", "read"):
        raise PermissionDeniedError("This token of Xet is for something else")
    if repo is None or not may_read(store, principal, repo):
        raise AuthenticationError("This token of Xet gives access no longer")
    return Caller(store, repo, principal, scope)


def may_read(store: HubStore, principal: Principal | None, repo: RepoRecord) -> bool:
    """Whether somebody sees a repo, and may read its files."""
    return may_see(principal, repo) and store.grants.may_read(principal, repo)
