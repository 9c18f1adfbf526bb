"""Check a contribution: its files, its cards, and what the cards speak for on the hub."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.automation.contribution import Contribution
from ggez_hub.automation.findings import Finding, Findings
from ggez_hub.automation.fitting import Misfit, fit
from ggez_hub.automation.recipe_rules import check_recipes
from ggez_hub.automation.releases import import_committed
from ggez_hub.automation.rules import (
    ProposedCard,
    check_card,
    check_files,
    needs_a_person,
    read_cards,
)
from ggez_hub.cards import BadCard, CardDocument, read_card
from ggez_hub.errors import MissingExtra
from ggez_hub.hub import Hub
from ggez_hub.registry.contributing.checking import problems_on_hub


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
    problems = list(problems_on_hub(block, hub))
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
