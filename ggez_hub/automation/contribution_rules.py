"""Rules for contributions: which files they may change, and what cards and recipes must hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name

from ggez_hub.automation.findings import Finding
from ggez_hub.automation.git_changes import Contribution
from ggez_hub.cards import AdapterCard, BadCard, CardDocument, alpha_record, parse_card
from ggez_hub.errors import GgezError, MissingExtra, UsageProblem
from ggez_hub.quantities import counted
from ggez_hub.recipe_file import kind_of, parse_recipe
from ggez_hub.regions import alpha, find_region
from ggez_hub.registry.index.entries import same_adapter

CARD = re.compile(
    r"^cards/(?P<region>[a-z0-9-]{2,40})/(?P<family>[a-z]+)/(?P<name>[a-z0-9][a-z0-9._-]{0,94})\.md\Z"
)
# Those directly in recipes/ are the registry's own: how it measures and gates.
RECIPE = re.compile(r"^recipes/(?!demo/|papers/)(?:[a-z0-9][a-z0-9._-]*/)+[a-z0-9._-]+\.ya?ml\Z")
MAX_FILES = 20
AT_LINE = re.compile(r"^\s*line (\d+): (.*)\Z")


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
    count = len(contribution.changes)
    if count > MAX_FILES:
        yield _error(
            "", f"changes {counted(count, 'file')}; at most {MAX_FILES} in one contribution"
        )
    if not count:
        yield _error("", "changes nothing")
    for change in contribution.changes:
        problem = ""
        if not (CARD.match(change.path) or RECIPE.match(change.path)):
            problem = (
                "is neither cards/<region>/<family>/<name>.md nor a recipe: a change of the "
                "program is a pull request of its own"
            )
        elif change.kind == "delete":
            problem = "is deleted: an adapter is yanked by its status, which locks report"
        elif change.text is None and not change.regular:
            problem = f"is not a plain file (mode {change.mode:o})"
        elif change.text is None:
            problem = f"is not text in UTF-8, or too large ({change.size:,} bytes)"
        if problem:
            yield _error(change.path, problem)


def _error(path: str, message: str, line: int | None = None) -> Finding:
    return Finding("error", path, message, line)


def read_cards(contribution: Contribution) -> tuple[list[ProposedCard], list[Finding]]:
    """The cards that can be read, and findings about the others, line by line."""
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
        before = None if change.before is None else parse_card(change.before, change.path)
        cards.append(ProposedCard(change.path, document, before))
    return cards, found


def by_line(path: str, problem: GgezError) -> Iterator[Finding]:
    """A finding for each line that the message of an error names."""
    lines = problem.message.splitlines()
    found = [match for line in lines if (match := AT_LINE.match(line))]
    if not found:
        yield _error(path, f"{problem.message} {problem.hint}".strip())
    for match in found:
        yield _error(path, match[2], int(match[1]))


def check_card(
    card: ProposedCard,
    accepted: Mapping[str, CardDocument],
    proposed: Sequence[ProposedCard] = (),
) -> Iterator[Finding]:
    """Findings about a card beside the accepted cards, by path, and the others of its contribution."""
    others = {**accepted, **{other.path: other.document for other in proposed}}
    for problem in _problems(card, {p: c for p, c in others.items() if p != card.path}):
        yield _error(card.path, problem)
    if card.document.card.adapter is not None:
        for change in needs_a_person(card, accepted):
            yield Finding("hint", card.path, f"{change}: a maintainer merges it by hand")


def _problems(card: ProposedCard, others: Mapping[str, CardDocument]) -> Iterator[str]:
    block = card.document.card
    place = CARD.match(card.path)
    assert place is not None  # noqa: S101 - read_cards takes no other
    for key in ("region", "family"):
        if place[key] != getattr(block, key):
            yield f"is in the folder {place[key]} and says {key}: {getattr(block, key)}"
    if block.adapter is None:
        yield "has no `adapter: {repo, revision}`: where the adapter is"
        return
    if card.document.license == "unknown":
        yield "has no licence: `license:` with the Hub's id"
    if block.level != "declared" and block.curve == "unknown":
        yield f"is of the level {block.level} and has no curve"
    if problem := _alpha_problem(block):
        yield f"ggez.alpha {problem}"
    if _claims_of_the_registry(card):
        yield "has scores `measured_by: registry` that the registry did not write: yours are `self`"
    for path, other in others.items():
        if _same_adapter(other.card, block):
            yield same_adapter(path)
        if (
            _recommended(card.document)
            and _recommended(other)
            and other.card.region == block.region
        ):
            yield f"is `recommended` for {block.region}, and {path} is already"


def _alpha_problem(card: AdapterCard) -> str:
    """The problem of a card's alpha, which is derived from the index, never chosen."""
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
    """The reasons why a card is not merged automatically."""
    block = card.document.card
    others = [o.card for path, o in accepted.items() if path != card.path]
    served = any(o.region == block.region and o.family == block.family for o in others)
    if card.before is None and not served:
        yield f"is the first adapter of {block.region} in the family {block.family}"
    if _recommended(card.document) and not (card.before and _recommended(card.before)):
        yield f"is to be what a pull of {block.region} takes: `recommended`"
    if card.before is None:
        return
    if _recommended(card.before) and not _recommended(card.document):
        yield f"is not to be what a pull of {block.region} takes any more: `recommended`"
    if owner(card.before) != owner(card.document):
        yield f"changes the owner from {owner(card.before)} to {owner(card.document)}"
    if (status := card.before.card.status) != block.status:
        yield (
            f"changes the status from {status.state} to {block.status.state}, which the owner or a "
            "code owner of the region decides"
        )


def owner(document: CardDocument) -> str:
    """The owner of the adapter's repository."""
    location = document.card.adapter
    return location.repo.partition("/")[0] if location else "nobody"


def _claims_of_the_registry(card: ProposedCard) -> bool:
    """Whether anything is marked as the registry's measurement that was not accepted so."""
    new = _registry_part(card.document.card)
    known = _registry_part(card.before.card) if card.before else {}
    # Rows may be dropped; of the sides of parity nothing may change.
    parity = [{k: v for k, v in part.items() if k[0] == "parity"} for part in (new, known)]
    return parity[0] != parity[1] or any(known.get(key) != value for key, value in new.items())


def _registry_part(card: AdapterCard) -> dict[tuple[str, ...], object]:
    """What a card marks as measured by the registry, by its keys."""
    found: dict[tuple[str, ...], object] = {}
    if card.baselines is not None and card.baselines.measured_by == "registry":
        found["baselines",] = card.baselines
    if card.closed is not None:
        found["closed",] = card.closed
    for split, sides in () if card.parity == "independent" else card.parity.items():
        if sides.measured_by == "registry":
            found["parity", split] = sides
    for beta, rows in () if card.curve == "unknown" else card.curve.items():
        for task, row in rows.items():
            if row.measured_by == "registry":
                found["curve", beta, task] = row
    for said in card.people:
        if said.measured_by == "registry":
            found["people", said.study, said.measure, said.model] = said
    return found


def _recommended(document: CardDocument) -> bool:
    return document.card.adapter is not None and document.card.adapter.recommended


def _same_adapter(a: AdapterCard, b: AdapterCard) -> bool:
    repos = {card.adapter and card.adapter.repo.lower() for card in (a, b)}
    return len(repos) == 1 and a.status.state == b.status.state == "active"


def check_recipes(contribution: Contribution) -> Iterator[Finding]:
    """Findings about the recipes that a contribution adds or changes, line by line."""
    for change in contribution.changes:
        if change.text is None or not RECIPE.match(change.path):
            continue
        try:
            kind = str(kind_of(change.text, change.path))
            if kind == "train":
                _parse_training(change.text, change.path)
            elif kind in SCHEMAS:
                parse_recipe(change.text, change.path, kind, resolve_name(SCHEMAS[kind]))
            else:
                kinds = ", ".join([*SCHEMAS, "train"])
                raise UsageProblem(f"is of the kind {kind!r}, not one of {kinds}")
        except MissingExtra as missing:
            yield Finding("hint", change.path, f"its keys are not read here: {missing.message}")
        except UsageProblem as problem:
            yield from by_line(change.path, problem)


# Imported when a recipe of the kind is read.
SCHEMAS = {
    "merge": "ggez_hub.registry.local_merge.inputs:MergeRecipe",
    "filter": "ggez_hub.data.spec:FilterSpec",
    "sweep": "ggez_hub.evaluation.sweep.recipe:SweepRecipe",
    "betas": "ggez_hub.merging.betas_by_part:BetasByPart",
}


def _parse_training(text: str, path: str) -> None:
    try:
        from ggez_hub.training.job import parse_training
    except ModuleNotFoundError as missing:
        raise MissingExtra(str(missing.name), "merge") from missing
    parse_training(text, path)
