"""Check a contribution: its files, its cards, and what the cards speak for on the hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ggez_hub.automation.contribution_rules import (
    ProposedCard,
    check_card,
    check_files,
    check_recipes,
    needs_a_person,
    read_cards,
)
from ggez_hub.automation.findings import Finding, Findings
from ggez_hub.automation.git_changes import Contribution
from ggez_hub.automation.registry_clone import import_committed
from ggez_hub.automation.trial_merge import Trial, try_merge
from ggez_hub.cards import AdapterCard, BadCard, CardDocument, read_card
from ggez_hub.errors import GgezError, MissingExtra
from ggez_hub.families import get_family
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.hub.sparse_copy import sparse_copy
from ggez_hub.merging.adapters import open_delta
from ggez_hub.merging.deltas import WeightIndex
from ggez_hub.registry.adapter_kinds import get_kind
from ggez_hub.registry.file_checks import vet_adapter, vet_base
from ggez_hub.registry.repositories import Repositories, problems_on_hub
from ggez_hub.registry.resolution import PinnedFile


class Misfit(GgezError):
    """The adapter of a card cannot be merged with its base."""


def fit(card: AdapterCard, hub: Hub, *, merges: bool) -> Trial | None:
    """Open the adapter of a card that was vetted as a merge opens it, and try a merge if `merges`.

    Over files whose weights are holes: kilobytes are fetched of each repository. None if nothing was
    merged: what is taken as it is has no merge. Raises Misfit, MissingExtra, and what the hub raises.
    """
    if not get_kind(card.kind).combined:
        return None
    assert card.adapter is not None  # noqa: S101 - check_card has asked for it
    adapter = hub.at_commit(card.adapter.repo, card.adapter.revision)
    base = hub.at_commit(card.base.repo, card.base.revision)
    base_files = vet_base(base, card, hub)
    adapter, base = _only(adapter, vet_adapter(adapter, card, hub)), _only(base, base_files)
    digests = {file.path: file.sha256 for file in base_files if file.sha256}
    family = get_family(card.family)
    with (
        sparse_copy(hub, adapter, headers=True, shards=True) as source,
        sparse_copy(hub, base, headers=True, shards=True) as folder,
    ):
        try:
            index = WeightIndex(folder, family.layout(folder).weights, digests)
            delta = open_delta(source, family, index)
            return try_merge(source, family, index, delta.touched) if merges else None
        except MissingExtra:
            raise
        except GgezError as problem:
            said = problem.message
            for place, at in ((source, adapter), (folder, base)):
                said = said.replace(f"{place}/", "").replace(str(place), at.repo)
            raise Misfit(said) from problem


def _only(at: RepoAtCommit, files: Iterable[PinnedFile]) -> RepoAtCommit:
    """The repository as if it held nothing else: what else lies there is not looked at."""
    paths = {file.path for file in files}
    return replace(at, files=tuple(file for file in at.files if file.path in paths))


def accepted_cards(folder: Path) -> dict[str, CardDocument]:
    """The accepted cards in the repository at `folder`, by path; a broken one is left out."""
    cards = {}
    for path in sorted((folder / "cards").glob("*/*/*.md")):
        try:
            cards[path.relative_to(folder).as_posix()] = read_card(path)
        except BadCard:
            continue
    return cards


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
    found = list(check_files(contribution))
    cards, broken = read_cards(contribution)
    found += [*broken, *check_recipes(contribution)]
    for card in cards:
        problems = list(check_card(card, accepted))
        found += problems
        # What is wrong on paper is mended first: the hub is asked about cards that make sense.
        if not any(p.level == "error" for p in problems):
            found += check_on_hub(card, hub, merges=merges)
    by_hand = tuple(reason for card in cards for reason in needs_a_person(card, accepted))
    return Checked(Findings(tuple(found)), tuple(cards), by_hand)


def check_on_hub(card: ProposedCard, hub: Hub, *, merges: bool) -> Iterator[Finding]:
    """Findings about the repositories that a card speaks for; no weights are fetched."""
    block = card.document.card
    assert block.adapter is not None  # noqa: S101 - check_card has asked for it
    problems = list(problems_on_hub(block, Repositories(hub)))
    for key, problem in problems:
        yield Finding("error", card.path, f"{'.'.join(map(str, key))}: {problem}")
    if not problems:
        yield from _fitting(card, hub, merges=merges)
    if not block.pinned:
        yield Finding("hint", card.path, "names no sha256s yet: `ggez-hub ci pin` writes them")


def _fitting(card: ProposedCard, hub: Hub, *, merges: bool) -> Iterator[Finding]:
    block = card.document.card
    assert block.adapter is not None  # noqa: S101 - check_card has asked for it
    try:
        trial = fit(block, hub, merges=merges)
    except Misfit as problem:
        yield Finding("error", card.path, f"ggez.adapter: {block.adapter.repo} {problem.message}")
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
