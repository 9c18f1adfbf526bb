"""Writing without a stored secret: a Trusted Publisher's token, for one repository and an hour.

A run of a workflow with `permissions: id-token: write` has an identity, which the Hub exchanges for a
token if the repository names that workflow as its publisher:
https://huggingface.co/docs/hub/trusted-publishers. The exchange is huggingface_hub's own, which
HF_OIDC_RESOURCE turns on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ggez_hub.hub.client import Hub

RESOURCE = "HF_OIDC_RESOURCE"
# What a run with an identity has: GitHub's address for it, or an identity from another provider.
IDENTITIES = ("ACTIONS_ID_TOKEN_REQUEST_URL", "HF_OIDC_ID_TOKEN")


@dataclass(frozen=True)
class WriteAccess:
    """A hub whose token may write, and why it may."""

    hub: Hub
    reason: str


def write_access(hub: Hub, repo: str, repo_type: str = "model") -> WriteAccess:
    """The hub with a token for this one repository, or with its own if the Hub gives none.

    It gives none for a repository that is not there yet, or that does not name the workflow.
    """
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HfHubHTTPError, OIDCError

    if hub.endpoint != constants.ENDPOINT or not any(map(os.environ.get, IDENTITIES)):
        return WriteAccess(hub, "HF_TOKEN")
    try:
        with _resource(constants.REPO_TYPES_URL_PREFIXES.get(repo_type, "") + repo):
            token = get_token()
    except (HfHubHTTPError, OIDCError) as error:
        said = str(error).strip().partition("\n")[0]
        return WriteAccess(hub, f"HF_TOKEN: no trusted publisher ({said})")
    return WriteAccess(replace(hub, token=token), "trusted publisher")


@contextmanager
def _resource(name: str) -> Iterator[None]:
    """Scope the client's next token to a repository; other requests of this run keep their own."""
    before = os.environ.pop(RESOURCE, None)
    os.environ[RESOURCE] = name
    try:
        yield
    finally:
        del os.environ[RESOURCE]
        if before is not None:
            os.environ[RESOURCE] = before
