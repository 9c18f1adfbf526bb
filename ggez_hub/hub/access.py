"""Whether the user may read a repository whose access is restricted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ggez_hub.errors import GgezError
from ggez_hub.hub.patience import patiently

if TYPE_CHECKING:
    from ggez_hub.hub.client import Hub


class NoAccess(GgezError):
    """The licence of a gated repository is not accepted yet, or not by this token's account."""


def page(endpoint: str, repo: str) -> str:
    """The page of a model, where its licence is accepted."""
    return f"{endpoint}/{repo}"


def no_access(endpoint: str, repo: str) -> NoAccess:
    """The error for a repository that may not be read; it names the page."""
    return NoAccess(
        f"access to {repo} is restricted, and its licence is not accepted yet",
        f"Accept it at {page(endpoint, repo)} while signed in, then set HF_TOKEN or run "
        "`hf auth login`.",
    )


def require_access(hub: Hub, repo: str) -> None:
    """Raise NoAccess, which names the page, unless the files may be read; asks the hub."""
    from huggingface_hub.errors import GatedRepoError

    try:
        patiently(lambda: hub._api.auth_check(repo))
    except GatedRepoError as error:
        raise no_access(hub.endpoint, repo) from error
