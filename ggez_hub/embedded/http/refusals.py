"""Refusals that exist over HTTP alone: their status depends on what the caller has said of themselves."""

from __future__ import annotations

from ggez_hub.embedded.errors import GatedRepoError, HubError, RepoNotFoundError


class HiddenRepoError(RepoNotFoundError):
    """The repo is missing or private, and the caller has not said who they are."""

    status = 401


class UnknownGatedRepoError(GatedRepoError):
    """The repo is gated, and the caller has not said who they are."""

    status = 401


class RepoMovedError(HubError):
    """The repo has another name; `location` is where the request belongs."""

    status = 307

    def __init__(self, message: str, location: str) -> None:
        super().__init__(message)
        self.location = location
