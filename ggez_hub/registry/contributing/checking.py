"""Is what a card says so on the hub: commits, files, sha256s, the weights of the base."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from huggingface_hub.errors import GatedRepoError

from ggez_hub.cards import AdapterCard
from ggez_hub.cards.document import Problem
from ggez_hub.cards.schema import Location
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.registry.resolving.source import Gone, Source
from ggez_hub.registry.resolving.vetting import NotFit, vet_adapter, vet_base


def problems_on_hub(
    card: AdapterCard, hub: Hub, location: Location | None = None
) -> Iterator[Problem]:
    """What of a card is not so on `hub`, each with its key; takes what `reasons_on_hub` takes."""
    for key, reason in reasons_on_hub(card, Source(hub), location):
        yield key, f"the adapter {reason}"


def reasons_on_hub(
    card: AdapterCard, source: Source, location: Location | None = None
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
    source: Source,
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
