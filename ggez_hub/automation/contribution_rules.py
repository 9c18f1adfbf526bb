"""Which files a contribution may change, and what a card in the registry must agree with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ggez_hub.automation.findings import Finding
from ggez_hub.automation.git_changes import Change, Contribution
from ggez_hub.cards import AdapterCard, BadCard, CardDocument, alpha_record, parse_card
from ggez_hub.cards.curve import CurveRow, SplitParity
from ggez_hub.errors import GgezError, MissingExtra, UsageProblem
from ggez_hub.recipe_file import BadRecipe, kind_of, parse_recipe
from ggez_hub.regions import alpha, find_region

CARD = re.compile(
    r"^cards/(?P<region>[a-z0-9-]{2,40})/(?P<family>[a-z]+)/(?P<name>[a-z0-9][a-z0-9._-]{0,94})\.md$"
)
# Those directly in recipes/ say how the registry measures and gates.
RECIPE = re.compile(r"^recipes/(?!demo/|papers/)(?:[a-z0-9][a-z0-9._-]*/)+[a-z0-9._-]+\.ya?ml$")
MAX_FILES = 20
AT_LINE = re.compile(r"^\s*line (\d+): (.*)$")


@dataclass(frozen=True)
class ProposedCard:
    """A card that the contribution adds or changes."""

    path: str
    document: CardDocument
    before: CardDocument | None

    @property
    def name(self) -> str:
        """<region>/<family>/<name>: the path without its ends."""
        return self.path.removeprefix("cards/").removesuffix(".md")


def check_files(contribution: Contribution) -> Iterator[Finding]:
    """Findings about paths, kinds of file and their number."""
    if len(contribution.changes) > MAX_FILES:
        count = len(contribution.changes)
        yield Finding(
            "error", "", f"changes {count} files; at most {MAX_FILES} in one contribution"
        )
    if not contribution.changes:
        yield Finding("error", "", "changes nothing")
    for change in contribution.changes:
        if not (CARD.match(change.path) or RECIPE.match(change.path)):
            yield Finding(
                "error",
                change.path,
                "is neither cards/<region>/<family>/<name>.md nor a recipe: a change of the "
                "program is a pull request of its own",
            )
        elif change.kind == "delete":
            yield Finding(
                "error",
                change.path,
                "is deleted: an adapter is yanked by its status, so that locks go on saying why",
            )
        elif change.text is None:
            yield Finding("error", change.path, _unreadable(change))


def _unreadable(change: Change) -> str:
    if not change.regular:
        return f"is no plain file (mode {change.mode:o})"
    return f"is no text in UTF-8, or too large ({change.size:,} bytes)"


def read_cards(contribution: Contribution) -> tuple[list[ProposedCard], list[Finding]]:
    """The cards that can be read, and what is wrong with the others, line by line."""
    cards: list[ProposedCard] = []
    found: list[Finding] = []
    for change in contribution.changes:
        if change.text is None or not CARD.match(change.path):
            continue
        try:
            document = parse_card(change.text, change.path)
        except BadCard as problem:
            found += by_line(change.path, problem)
            continue
        cards.append(ProposedCard(change.path, document, _before(change)))
    return cards, found


def _before(change: Change) -> CardDocument | None:
    return parse_card(change.before, change.path) if change.before is not None else None


def by_line(path: str, problem: GgezError) -> Iterator[Finding]:
    """An error that names keys by their lines, as a finding for each of them."""
    lines = problem.message.splitlines()
    found = [match for line in lines if (match := AT_LINE.match(line))]
    if not found:
        yield Finding("error", path, f"{problem.message} {problem.hint}".strip())
    for match in found:
        yield Finding("error", path, match[2], int(match[1]))


def check_card(card: ProposedCard, accepted: Mapping[str, CardDocument]) -> Iterator[Finding]:
    """Findings about a card beside the cards that are accepted already, by path."""
    block = card.document.card
    place = CARD.match(card.path)
    assert place is not None  # noqa: S101 - read_cards takes no other
    for key in ("region", "family"):
        if place[key] != getattr(block, key):
            yield Finding(
                "error",
                card.path,
                f"is in the folder {place[key]} and says {key}: {getattr(block, key)}",
            )
    if block.adapter is None:
        yield Finding(
            "error", card.path, "has no `adapter: {repo, revision}`: where the adapter lies"
        )
        return
    if card.document.license == "unknown":
        yield Finding("error", card.path, "has no licence: `license:` with the Hub's id")
    if block.level != "declared" and block.curve == "unknown":
        yield Finding("error", card.path, f"is of the level {block.level} and has no curve")
    if problem := _alpha_problem(block):
        yield Finding("error", card.path, f"ggez.alpha {problem}")
    if _claims_of_the_registry(card):
        yield Finding(
            "error",
            card.path,
            "has scores `measured_by: registry` that the registry did not write: yours are `self`",
        )
    for path, other in accepted.items():
        if path != card.path and other.card.adapter and _same_place(other, card.document):
            yield Finding("error", card.path, f"speaks for the same adapter as {path}")
        if path != card.path and _both_recommended(other, card.document):
            yield Finding(
                "error", card.path, f"is `recommended` for {block.region}, and {path} is already"
            )
    for change in needs_a_person(card, accepted):
        yield Finding("hint", card.path, f"{change}: a maintainer merges it by hand")


def _alpha_problem(card: AdapterCard) -> str:
    """What is wrong with a card's alpha; it is derived from the index, never chosen."""
    said = card.alpha
    if said.provenance != "kof":
        return "is set by hand: in the registry it is the KOF index's"
    try:
        factor = alpha(find_region(card.region), said.year, said.series, said.release)
    except GgezError as problem:
        return f"cannot be recomputed: {problem.message}"
    if alpha_record(factor) != said:
        return (
            f"is not that of {said.series}, release {said.release}, {said.year}: {factor.value!r}"
        )
    return ""


def needs_a_person(card: ProposedCard, accepted: Mapping[str, CardDocument]) -> Iterator[str]:
    """Why a card is never merged by itself."""
    block = card.document.card
    others = [o.card for path, o in accepted.items() if path != card.path]
    served = any(o.region == block.region and o.family == block.family for o in others)
    if card.before is None and not served:
        yield f"is the first adapter of {block.region} in the family {block.family}"
    if _recommended(card.document) and not (card.before and _recommended(card.before)):
        yield f"is to be what a pull of {block.region} takes: `recommended`"
    if card.before is not None and owner(card.before) != owner(card.document):
        yield f"changes the owner from {owner(card.before)} to {owner(card.document)}"


def owner(document: CardDocument) -> str:
    """Whose repository the adapter lies in."""
    location = document.card.adapter
    return location.repo.partition("/")[0] if location else "nobody"


def _claims_of_the_registry(card: ProposedCard) -> bool:
    """Whether rows, baselines or a closed part say that the registry measured them and were not accepted so."""
    known = _registry_rows(card.before) if card.before else []
    beside = card.document.card.baselines
    new = beside is not None and beside.measured_by == "registry"
    if new and not (card.before and card.before.card.baselines == beside):
        return True
    if card.document.card.closed not in (None, card.before and card.before.card.closed):
        return True
    if _registry_parity(card.document) != (_registry_parity(card.before) if card.before else {}):
        return True
    return any(row not in known for row in _registry_rows(card.document))


def _registry_parity(document: CardDocument) -> dict[str, SplitParity]:
    """The sides of parity, by split, that a card says the registry measured."""
    parity = document.card.parity
    if parity == "independent":
        return {}
    return {split: sides for split, sides in parity.items() if sides.measured_by == "registry"}


def _registry_rows(document: CardDocument) -> list[tuple[str, str, CurveRow]]:
    curve = document.card.curve
    if curve == "unknown":
        return []
    return [
        (beta, task, row)
        for beta, rows in curve.items()
        for task, row in rows.items()
        if row.measured_by == "registry"
    ]


def _recommended(document: CardDocument) -> bool:
    return document.card.adapter is not None and document.card.adapter.recommended


def _both_recommended(a: CardDocument, b: CardDocument) -> bool:
    return _recommended(a) and _recommended(b) and a.card.region == b.card.region


def _same_place(a: CardDocument, b: CardDocument) -> bool:
    first, second = a.card.adapter, b.card.adapter
    return (
        first is not None
        and second is not None
        and first.repo.lower() == second.repo.lower()
        and (a.card.region, a.card.family) == (b.card.region, b.card.family)
    )


def check_recipes(contribution: Contribution) -> Iterator[Finding]:
    """Findings about the recipes that a contribution adds or changes, line by line."""
    for change in contribution.changes:
        if change.text is None or not RECIPE.match(change.path):
            continue
        try:
            kind = kind_of(change.text, change.path)
            if kind not in READERS:
                raise BadRecipe(f"is of the kind {kind!r}, not one of {', '.join(READERS)}")
            READERS[str(kind)](change.text, change.path)
        except MissingExtra as missing:
            yield Finding("hint", change.path, f"its keys are not read here: {missing.message}")
        except UsageProblem as problem:
            yield from by_line(change.path, problem)


def _merge(text: str, path: str) -> None:
    from ggez_hub.registry.local_merge.recipe import MergeRecipe

    parse_recipe(text, path, "merge", MergeRecipe)


def _train(text: str, path: str) -> None:
    try:
        from ggez_hub.training.job import parse_training
    except ModuleNotFoundError as missing:
        raise MissingExtra(str(missing.name), "merge") from missing
    parse_training(text, path)


def _filter(text: str, path: str) -> None:
    from ggez_hub.data.spec import FilterSpec

    parse_recipe(text, path, "filter", FilterSpec)


def _sweep(text: str, path: str) -> None:
    from ggez_hub.evaluation.sweep.recipe import SweepRecipe

    parse_recipe(text, path, "sweep", SweepRecipe)


def _betas(text: str, path: str) -> None:
    from ggez_hub.merging.betas_by_part import BetasByPart

    parse_recipe(text, path, "betas", BetasByPart)


READERS: Mapping[str, Callable[[str, str], None]] = {
    "merge": _merge,
    "train": _train,
    "filter": _filter,
    "sweep": _sweep,
    "betas": _betas,
}
