"""Is what a card says so on the hub: commits, files, sha256s, the weights of the base."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from huggingface_hub.errors import (
    GatedRepoError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ggez_hub.cards import AdapterCard
from ggez_hub.cards.document import Problem
from ggez_hub.cards.schema import Location
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.registry.resolving.vetting import NotFit, vet_adapter, vet_base


def problems_on_hub(
    card: AdapterCard, hub: Hub, location: Location | None = None
) -> Iterator[Problem]:
    """What of a card is not so on `hub`, by the rules of the resolver; no weights are fetched.

    The adapter is looked for at `location`, or where the card says that it lies; a card that does
    not say is checked for its base alone.
    """
    where = location or card.adapter
    if where is not None:
        yield from _problems(
            ("ggez", "adapter"), hub, where.repo, where.revision,
            lambda at: vet_adapter(at, card, hub),
        )  # fmt: skip
    yield from _problems(
        ("ggez", "base"), hub, card.base.repo, card.base.revision,
        lambda at: vet_base(at, card, hub),
    )  # fmt: skip


def _problems(
    path: tuple[str | int, ...],
    hub: Hub,
    repo: str,
    revision: str,
    vet: Callable[[RepoAtCommit], object],
) -> Iterator[Problem]:
    try:
        vet(hub.at_commit(repo, revision))
    except NotFit as problem:
        yield path, f"{repo} {problem.message}"
    except GatedRepoError:
        yield path, f"{repo} is gated: ask for access on its page, and set HF_TOKEN"
    except RepositoryNotFoundError:
        yield (*path, "repo"), f"{repo} is not on the hub, or private"
    except RevisionNotFoundError:
        yield (*path, "revision"), f"{repo} has no commit {revision}"
