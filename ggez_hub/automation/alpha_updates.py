"""A new release or year of the KOF index: another alpha for each accepted card, beta chosen again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.automation.check import accepted_cards
from ggez_hub.automation.indexed_cards import indexed_cards, with_measurement
from ggez_hub.cards import AlphaRecord, CardDocument, alpha_record, parse_card
from ggez_hub.cards.document import CardText
from ggez_hub.hub import Hub
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.choice import Undetermined
from ggez_hub.regions import Alpha, alpha, find_region
from ggez_hub.registry.retune import Retuned, alpha_source, described, retune
from ggez_hub.registry.stored_curve import StoredCurve
from ggez_hub.yaml_text import with_values

TITLE = "Set alpha of {name} to {value:.5f}: {source}"
UNMEASURED = (
    "alpha was {before:.5f} ({old}) and is {after:.5f} ({new}). The registry has no curve of this "
    "adapter: no beta is chosen yet."
)


@dataclass(frozen=True)
class NewAlpha:
    """An accepted card with the alpha of another release or year, and what follows from it.

    text     the card's file; only its alpha differs
    retuned  beta before and after; None without a curve
    """

    path: str
    text: str
    before: AlphaRecord
    after: AlphaRecord
    retuned: Retuned | None

    @property
    def branch(self) -> str:
        """The branch of its pull request: one for each card."""
        name = self.path.removeprefix("cards/").removesuffix(".md")
        return f"retune/{name.replace('/', '-')}"

    @property
    def title(self) -> str:
        """The title of its pull request."""
        name = self.path.removeprefix("cards/").removesuffix(".md")
        return TITLE.format(name=name, value=self.after.value, source=alpha_source(self.after))

    @property
    def body(self) -> str:
        """What its pull request says."""
        if self.retuned is not None:
            return described(self.retuned)
        return UNMEASURED.format(
            before=self.before.value,
            old=alpha_source(self.before),
            after=self.after.value,
            new=alpha_source(self.after),
        )


def new_alphas(
    repository: Path, hub: Hub, release: str | None, year: int | None
) -> Iterator[NewAlpha]:
    """The accepted, active cards in `repository` that do not have the alpha of `release` and `year`.

    beta is chosen from the curve that the index has of a card, else from the card's own. Raises
    UsageProblem for a release or year that is not there, and what the hub raises.
    """
    indexed = indexed_cards(hub)
    for path, document in accepted_cards(repository).items():
        card = document.card
        if card.status.state != "active" or card.alpha.provenance != "kof":
            continue
        factor = alpha(find_region(card.region), year, card.alpha.series, release)
        if card.alpha == alpha_record(factor):
            continue
        text = (repository / path).read_text(encoding="utf-8")
        known = indexed.get(path)
        measured = (known and with_measurement(document, known.document)) or document
        yield NewAlpha(
            path,
            _with_alpha(text, path, alpha_record(factor)),
            card.alpha,
            alpha_record(factor),
            _retuned(measured, factor),
        )


def _retuned(document: CardDocument, factor: Alpha) -> Retuned | None:
    card = document.card
    if card.curve == "unknown":
        return None
    try:
        return retune(StoredCurve.of_card(card), find_region(card.region), factor)
    except (NoCurve, Undetermined):
        return None


def _with_alpha(text: str, path: str, new: AlphaRecord) -> str:
    inner = CardText.of(text, path).front_matter
    value = new.model_dump(mode="json", exclude_defaults=True)
    changed = text.replace(inner, with_values(inner, {("ggez", "alpha"): value}), 1)
    parse_card(changed, path)
    return changed
