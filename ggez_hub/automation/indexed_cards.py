"""The cards in the index, with the registry's curves and evidence."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.errors import RepositoryNotFoundError

from ggez_hub.automation.remote_evaluation import evidence_at
from ggez_hub.cards import AdapterCard, BadCard, CardDocument, read_card
from ggez_hub.evaluation.results.evidence import RESULTS
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.hub.commits import head_of
from ggez_hub.registry.constants import INDEX_REPO

# What the registry adds to an accepted card. alpha and the policy are the card's own: they change by a
# pull request, without a new measurement.
MEASURED = frozenset({"baselines", "closed", "curve", "level", "parity"})


@dataclass(frozen=True)
class IndexedCard:
    """A card of the index, and the commit of the index that holds it."""

    document: CardDocument
    at: RepoAtCommit

    def fetch_results(self, hub: Hub, name: str) -> Path | None:
        """The folder with the results of the card `name`, without predictions; None without evidence."""
        files = evidence_at(self.at, f"evidence/{name}")
        if files is None:
            return None
        fetched = hub.fetch(INDEX_REPO, self.at.revision, [files[RESULTS]], "dataset")
        return fetched / "evidence" / name

    def fetch_evidence(self, hub: Hub, name: str, folder: Path) -> bool:
        """Fetch the results and predictions of the card `name`; False if the index has none."""
        files = evidence_at(self.at, f"evidence/{name}")
        if files is None:
            return False
        fetched = hub.fetch(INDEX_REPO, self.at.revision, list(files.values()), "dataset")
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copyfile(fetched / "evidence" / name / file, folder / file)
        return True


def indexed_cards(hub: Hub) -> dict[str, IndexedCard]:
    """The cards that the index holds, by path; none where there is no index yet."""

    try:
        at = head_of(hub, INDEX_REPO, "dataset")
    except RepositoryNotFoundError:
        return {}
    files = [f for f in at.files if f.path.startswith("cards/") and f.path.endswith(".md")]
    if not files:
        return {}
    folder = hub.fetch(INDEX_REPO, at.revision, files, "dataset")
    found = {}
    for file in files:
        # One that cannot be read is measured anew, and stops none of the others.
        with suppress(BadCard):
            found[file.path] = IndexedCard(read_card(folder / file.path), at)
    return found


def with_measurement(accepted: CardDocument, indexed: CardDocument) -> CardDocument | None:
    """The accepted card with its curve in the index; None if it was not measured, or has changed."""
    apart = {*MEASURED, "alpha", "policy"}
    same = indexed.card.model_dump(exclude=apart) == accepted.card.model_dump(exclude=apart)
    if not same or not _measured(indexed.card):
        return None
    update = {key: getattr(indexed.card, key) for key in MEASURED}
    card = accepted.card.model_copy(update=update)
    return CardDocument(card, accepted.front_matter, accepted.prose)


def _measured(card: AdapterCard) -> bool:
    return card.curve != "unknown" and any(
        row.measured_by == "registry" for rows in card.curve.values() for row in rows.values()
    )
