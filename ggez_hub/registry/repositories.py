"""A hub while something is resolved against it: every repository is asked for once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from huggingface_hub.errors import GatedRepoError

from ggez_hub.cards import AdapterCard
from ggez_hub.cards.document import Problem
from ggez_hub.cards.schema import Location
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.hub.client import COMMIT
from ggez_hub.registry.file_checks import NotFit, vet_adapter, vet_base
from ggez_hub.registry.index.entries import IndexEntry

if TYPE_CHECKING:
    from huggingface_hub.errors import GatedRepoError


class Gone(NotFit):
    """A repository, or its commit, cannot be read; `key` says which of the two."""

    def __init__(self, key: Literal["repo", "revision"], reason: str) -> None:
        super().__init__(reason)
        self.key = key


@dataclass(frozen=True)
class Repositories:
    """A hub whose repositories are asked for once each, those that are gone or gated too."""

    hub: Hub
    _seen: dict[tuple[str, str], RepoAtCommit | Gone | GatedRepoError] = field(
        default_factory=dict, repr=False
    )

    def at(self, repo: str, revision: str) -> RepoAtCommit:
        """A repository at the commit that `revision` names; raises Gone, or GatedRepoError."""
        from huggingface_hub.errors import GatedRepoError

        if (repo, revision) not in self._seen:
            try:
                self._seen[repo, revision] = reach(self.hub, repo, revision)
            except (Gone, GatedRepoError) as problem:
                self._seen[repo, revision] = problem
        found = self._seen[repo, revision]
        if isinstance(found, RepoAtCommit):
            return found
        raise found

    def tag_of(self, repo: str, revision: str) -> str | None:
        """`revision` if it is a tag of the repository; None for a commit or a branch."""
        if revision == "main" or COMMIT.fullmatch(revision):
            return None
        return revision if revision in self.hub.tags(repo) else None

    def ask_for(self, places: Iterable[tuple[str, str]], pool: Executor) -> None:
        """Ask for many repositories at once, each with its revision."""

        from huggingface_hub.errors import GatedRepoError

        def ask(place: tuple[str, str]) -> None:
            with suppress(Gone, GatedRepoError):
                self.at(*place)

        list(pool.map(ask, places))

    def date_of(self, entry: IndexEntry) -> str:
        """The day on which an adapter was registered, or else committed; of one that is gone: ""."""
        if entry.summary.registered is not None:
            return entry.summary.registered
        try:
            return self.at(entry.repo, entry.revision).date[: len("2026-01-31")]
        except NotFit:
            return ""


def reach(hub: Hub, repo: str, revision: str) -> RepoAtCommit:
    """A repository at the commit that a card names; raises Gone."""
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return hub.at_commit(repo, revision)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError as error:
        raise Gone("repo", f"needs {repo}, which is gone or private") from error
    except RevisionNotFoundError as error:
        raise Gone("revision", f"needs {repo}@{revision[:12]}, a commit that is gone") from error


def problems_on_hub(
    card: AdapterCard, hub: Hub, location: Location | None = None
) -> Iterator[Problem]:
    """What of a card is not so on `hub`, each with its key; takes what `reasons_on_hub` takes."""
    for key, reason in reasons_on_hub(card, Repositories(hub), location):
        yield key, f"the adapter {reason}"


def reasons_on_hub(
    card: AdapterCard, source: Repositories, location: Location | None = None
) -> Iterator[Problem]:
    """Why an adapter would not be taken, by the rules of the resolver; no weights are fetched.

    Each is a predicate of the adapter ("lacks x.safetensors, ..."). The adapter is looked for at
    `location`, or where the card says that it lies; a card that does not say is checked for its
    base alone. Raises what the client raises if the hub fails.
    """
    where = location or card.adapter
    if where is not None:
        yield from _problems(
            ("ggez", "adapter"), source, where.repo, where.revision,
            lambda at: vet_adapter(at, card, source.hub),
        )  # fmt: skip
    yield from _problems(
        ("ggez", "base"), source, card.base.repo, card.base.revision,
        lambda at: vet_base(at, card, source.hub),
    )  # fmt: skip


def _problems(
    path: tuple[str | int, ...],
    source: Repositories,
    repo: str,
    revision: str,
    vet: Callable[[RepoAtCommit], object],
) -> Iterator[Problem]:
    try:
        vet(source.at(repo, revision))
    except Gone as problem:
        yield (*path, problem.key), problem.message
    except NotFit as problem:
        yield path, problem.message
    except GatedRepoError:
        yield path, f"needs {repo}, which is gated: ask for access on its page, and set HF_TOKEN"
