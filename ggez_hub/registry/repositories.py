"""Repositories of a hub as cards name them: each is asked for once, and compared with the card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from ggez_hub.cards import AdapterCard
from ggez_hub.cards.schema import Location
from ggez_hub.daemon_threads import map_at_once
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.hub.listings import COMMIT
from ggez_hub.registry.file_checks import NotFit, vet_adapter, vet_base
from ggez_hub.validation_errors import Problem

PARALLEL = 8


class Gone(NotFit):
    """A repository, or its commit, cannot be read; `key` is which of the two."""

    def __init__(self, key: Literal["repo", "revision"], reason: str) -> None:
        super().__init__(reason)
        self.key = key


@dataclass(frozen=True)
class Repositories:
    """A hub whose repositories are asked for once each, also those that it does not give."""

    hub: Hub
    _seen: dict[tuple[str, str], RepoAtCommit | Exception] = field(default_factory=dict, repr=False)
    _published: dict[tuple[str, str], bool] = field(default_factory=dict, repr=False)

    def at(self, repo: str, revision: str) -> RepoAtCommit:
        """A repository at the commit that `revision` names.

        Raises Gone, GatedRepoError, and what the client raises if the hub fails.
        """
        if (repo, revision) not in self._seen:
            try:
                self._seen[repo, revision] = reach(self.hub, repo, revision)
            except Exception as problem:
                self._seen[repo, revision] = problem
        found = self._seen[repo, revision]
        if isinstance(found, RepoAtCommit):
            return found
        raise found

    def has_published(self, at: RepoAtCommit) -> bool:
        """Whether a branch or a tag of the repository itself holds its commit."""
        key = (at.repo, at.revision)
        if key not in self._published:
            self._published[key] = self.hub.offline or self.hub.has_published(*key)
        return self._published[key]

    def tag_of(self, repo: str, revision: str) -> str | None:
        """`revision` if it is a tag of the repository; None for a commit or a branch."""
        if revision in {"", "main"} or COMMIT.fullmatch(revision):
            return None
        return revision if revision in self.hub.tags(repo) else None

    def ask_for(self, places: Iterable[tuple[str, str]]) -> None:
        """Ask for several at once, so that `at` has its answers; what is wrong with one, `at` raises.

        Where the hub fails the rest is left to `at`, which may not need all of them.
        """

        def ask(place: tuple[str, str]) -> None:
            with suppress(Gone, GatedRepoError):
                self.at(*place)

        wanted = sorted(set(places) - self._seen.keys())
        if len(wanted) < 2:
            return
        with suppress(Exception):
            map_at_once(ask, wanted, PARALLEL)


def reach(hub: Hub, repo: str, revision: str) -> RepoAtCommit:
    """A repository at the commit that a card names; raises Gone."""
    try:
        return hub.at_commit(repo, revision)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError as error:
        raise Gone("repo", f"needs {repo}, which is gone or private") from error
    except RevisionNotFoundError as error:
        what = "a commit that is gone" if COMMIT.fullmatch(revision) else "which it does not have"
        shown = revision[:12] if COMMIT.fullmatch(revision) else revision
        raise Gone("revision", f"needs {repo}@{shown}, {what}") from error


def problems_on_hub(
    card: AdapterCard, repositories: Repositories, location: Location | None = None
) -> Iterator[Problem]:
    """Why an adapter would not be taken, by the rules of the resolver; no weights are fetched.

    Each is a predicate of the adapter ("lacks x.safetensors, ..."). The adapter is looked for at
    `location`, or where the card says; a card that does not say is checked for its base alone.
    Raises what the client raises if the hub fails.
    """
    for key, place, vet in (
        ("adapter", location or card.adapter, vet_adapter),
        ("base", card.base, vet_base),
    ):
        if place is None:
            continue
        path = ("ggez", key)
        try:
            at = repositories.at(place.repo, place.revision)
            vet(at, card, repositories.hub)
            if not repositories.has_published(at):
                text = (
                    f"needs {at.repo}@{at.revision[:12]}, which no branch or tag of {at.repo} holds: "
                    "it may be a stranger's proposal there"
                )
                yield Problem((*path, "revision"), text)
        except Gone as problem:
            yield Problem((*path, problem.key), problem.message)
        except NotFit as problem:
            hint = f" ({problem.hint})" if problem.hint else ""
            yield Problem(path, f"{problem.message}{hint}")
        except GatedRepoError:
            text = (
                f"needs {place.repo}, which is gated: request access on its page, and set HF_TOKEN"
            )
            yield Problem(path, text)
