"""The baselines of the merge on the cards of the demo world, added to evidence that is there.

The language of each prompt follows from the tasks' texts, and the switch from the answers: no model is
asked for them. The averaged outputs of the embedding models are asked for.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from demo_world.card_text import text_of_family
from ggez_hub.cards import AdapterCard, CardDocument, read_card, render_card
from ggez_hub.cards.curve import SPLITS
from ggez_hub.demo.world import CARD, DEMO_FAMILIES, EVIDENCE, FamilyFolders, find_in
from ggez_hub.digests import sha256_file
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.answers.outcomes import Cell, Outcomes
from ggez_hub.evaluation.answers.predictions import read_predictions, write_predictions
from ggez_hub.evaluation.benchmarks.prompt_language import prompt_languages, with_prompt_languages
from ggez_hub.evaluation.models import ModelUnderTest, averaged, grid_on
from ggez_hub.evaluation.models.backend import find_backend
from ggez_hub.evaluation.models.model_under_test import StoredModel
from ggez_hub.evaluation.results.baselines import card_baselines
from ggez_hub.evaluation.results.evidence import Evidence, open_evidence
from ggez_hub.evaluation.results.header import BaselineRecord
from ggez_hub.evaluation.results.language_switch import ADAPTER, BASE
from ggez_hub.evaluation.sweep.run import measure
from ggez_hub.families import get_family
from ggez_hub.parity.beta_choice import choose_for
from ggez_hub.regions import find_region


def record_baselines(assets: Path, family: str) -> tuple[Path, ...]:
    """Write the baselines of a family's adapters on their cards, which are returned.

    The evidence gets the language of each prompt, and the answers of the averaged outputs where there
    are any. No answer that was there changes.
    """
    place, found = FamilyFolders(assets, DEMO_FAMILIES[family]), []
    for name in place.adapters:
        path = place.adapter(name) / CARD
        record_prompts(place, name)
        document = read_card(path)
        evidence = _with_average(open_evidence(path), place, name)
        beside = card_baselines(evidence, _chosen(document.card), "registry")
        _write(path, document, document.card.model_copy(update={"baselines": beside}))
        found.append(path)
    return tuple(found)


def record_prompts(place: FamilyFolders, name: str) -> None:
    """Add the language of each prompt to the evidence of an adapter, and name the new file on its card."""
    folder = place.adapter(name)
    before = sha256_file(folder / EVIDENCE)
    questions = text_of_family(place.part).questions
    _, tasks = questions.prepare(find_in(place.assets), find_region(name), SPLITS)
    answers = with_prompt_languages(read_predictions(folder / EVIDENCE), prompt_languages(tasks))
    after = write_predictions(folder / EVIDENCE, answers)
    document = read_card(folder / CARD)
    card = document.card
    assert card.curve != "unknown"  # noqa: S101 - the world's cards are measured
    curve = {
        beta: {
            key: row.model_copy(update={"predictions": after}) if row.predictions == before else row
            for key, row in rows.items()
        }
        for beta, rows in card.curve.items()
    }
    _write(folder / CARD, document, card.model_copy(update={"curve": curve}))


def _chosen(card: AdapterCard) -> float:
    """The beta that validation chooses."""
    return choose_for(card).beta


def _with_average(evidence: Evidence, place: FamilyFolders, name: str) -> Evidence:
    """The evidence with the averaged outputs, asked and written beside it where there are any."""
    outcomes = _average(place, name)
    if not outcomes:
        return evidence
    path = (place.adapter(name) / EVIDENCE).with_name("average.parquet")
    record = BaselineRecord(predictions=path.name, sha256=write_predictions(path, outcomes))
    header = evidence.header.model_copy(update={"baselines": {"average": record}})
    return replace(evidence, header=header, baselines={"average": outcomes})


def _average(place: FamilyFolders, name: str) -> dict[Cell, Outcomes]:
    questions = text_of_family(place.part).questions
    model = StoredModel(place.base, (place.adapter(name),), get_family(place.part.family))
    kept: dict[str, AnswerCache] = {}

    def known(model: ModelUnderTest) -> AnswerCache:
        return kept.setdefault(model.digest, AnswerCache())

    base, adapter = grid_on(model, (BASE, ADAPTER), find_backend(model.family, place.assets))
    if not base.searches:
        return {}
    _, tasks = questions.prepare(find_in(place.assets), find_region(name), SPLITS)
    return dict(measure([averaged(base, adapter, known)], tasks).outcomes)


def _write(path: Path, document: CardDocument, card: AdapterCard) -> None:
    changed = CardDocument(card, document.front_matter, document.prose)
    path.write_text(render_card(changed), encoding="utf-8")
