"""Check a contribution: its files, its cards, and the repositories that the cards speak for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.automation.card_sources import adapter_of, base_of, location_of
from ggez_hub.automation.contribution_rules import (
    ProposedCard,
    check_card,
    check_files,
    check_recipes,
    needs_a_person,
    read_cards,
)
from ggez_hub.automation.findings import Finding, Findings
from ggez_hub.automation.git_changes import Contribution, accepted_cards, import_committed
from ggez_hub.automation.trial_merge import Trial, try_merge
from ggez_hub.cards import AdapterCard
from ggez_hub.cards.readme import license_of
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.errors import GgezError, MissingExtra
from ggez_hub.families import get_family
from ggez_hub.hub import Hub
from ggez_hub.hub.sparse_copy import sparse_copy
from ggez_hub.merging.adapters import CONFIGURATION, open_delta
from ggez_hub.merging.deltas import WeightIndex
from ggez_hub.registry.adapter_kinds import get_kind
from ggez_hub.registry.file_checks import NotFit
from ggez_hub.registry.licences import reviewed, unsaid
from ggez_hub.registry.repositories import Repositories, problems_on_hub


@dataclass(frozen=True)
class Checked:
    """The findings, the cards, and why a person merges them rather than the workflow."""

    findings: Findings
    cards: tuple[ProposedCard, ...]
    by_hand: tuple[str, ...]


def check(
    contribution: Contribution, repository: Path, hub: Hub, *, merges: bool = False
) -> Checked:
    """Check a contribution against the registry in `repository` and against the hub.

    With `merges` each adapter is merged with a sample of its base too.
    """
    import_committed(repository)
    accepted = accepted_cards(repository)
    cards, broken = read_cards(contribution)
    found = [*check_files(contribution), *broken, *check_recipes(contribution)]
    for card in cards:
        problems = list(check_card(card, accepted, cards))
        found += problems
        # The hub is asked only about cards without errors.
        if not any(p.level == "error" for p in problems):
            found += check_on_hub(card, hub, merges=merges)
    by_hand = tuple(reason for card in cards for reason in needs_a_person(card, accepted))
    return Checked(Findings(tuple(found)), tuple(cards), by_hand)


def check_on_hub(card: ProposedCard, hub: Hub, *, merges: bool) -> Iterator[Finding]:
    """Findings about the repositories that a card speaks for; no weights are fetched."""
    block = card.document.card
    repositories = Repositories(hub)
    problems = list(problems_on_hub(block, repositories))
    for key, problem in problems:
        yield Finding("error", card.path, f"{'.'.join(map(str, key))}: {problem}")
    if not problems:
        yield from _check_licence(card, repositories)
        yield from _check_merge(card, hub, merges=merges)
    if not block.pinned:
        yield Finding("hint", card.path, "names no sha256s yet: `ggez-hub ci pin` writes them")


def _check_licence(card: ProposedCard, repositories: Repositories) -> Iterator[Finding]:
    """Whether the adapter's licence says what that of its base binds derived works to."""
    base = card.document.card.base
    declared = license_of(repositories.at(base.repo, base.revision).front_matter)
    with suppress(NotFit):
        own, upstream = (reviewed(name, "it") for name in (card.document.license, declared))
        if upstream != UNKNOWN != own and (missing := unsaid(own, upstream)):
            yield Finding(
                "hint",
                card.path,
                f"is under {own}, which does not say what {upstream} of its base asks of derived works "
                f"({', '.join(missing)}): results carry both licences",
            )


def _check_merge(card: ProposedCard, hub: Hub, *, merges: bool) -> Iterator[Finding]:
    block = card.document.card
    try:
        trial = fit(block, hub, merges=merges)
    except Misfit as problem:
        said = f"ggez.adapter: {location_of(block).repo} {problem.message}"
        yield Finding("error", card.path, said)
    except MissingExtra as missing:
        yield Finding("hint", card.path, f"is not merged with its base here: {missing.message}")
    else:
        if trial is not None and trial.too_large:
            yield Finding(
                "hint",
                card.path,
                "was not merged, for want of room, with tensors like "
                f"{', '.join(trial.too_large[:3])}; with {len(trial.merged)} others it was",
            )


class Misfit(GgezError):
    """The adapter of a card cannot be merged with its base."""


def fit(card: AdapterCard, hub: Hub, *, merges: bool) -> Trial | None:
    """Open the adapter of a vetted card as a merge opens it, and try a merge if `merges`.

    The weights are holes in sparse files: kilobytes are fetched of each repository. None if nothing
    was merged, as of a kind that has no merge. Raises Misfit, MissingExtra, and what the hub raises.
    """
    if not get_kind(card.kind).combined:
        return None
    base, adapter = base_of(card, hub), adapter_of(card, hub)
    digests = {file.path: file.sha256 for file in base.files if file.sha256}
    family = get_family(card.family)
    names = family.configuration
    with (
        sparse_copy(hub, adapter.only, names | CONFIGURATION, headers=True, shards=True) as source,
        sparse_copy(hub, base.only, names, headers=True, shards=True) as folder,
    ):
        try:
            index = WeightIndex(folder, family.layout(folder).weights, digests)
            delta = open_delta(source, family, index)
            return try_merge(source, family, index, delta.touched) if merges else None
        except MissingExtra:
            raise
        except GgezError as problem:
            said = problem.message
            for place, repo in ((source, adapter), (folder, base)):
                said = said.replace(f"{place}/", "").replace(str(place), repo.at.repo)
            raise Misfit(said) from problem
