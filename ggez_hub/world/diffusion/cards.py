"""The cards of the diffusion family's adapters: what `train` wrote, with what was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ggez_hub.cards import AdapterCard, CardDocument, hub_tags, read_card, render_card
from ggez_hub.cards.schema import DataFilter
from ggez_hub.evaluation.comparison import Estimate, mean_difference
from ggez_hub.evaluation.curve import curve_rows
from ggez_hub.evaluation.grid import Measurement, Progress
from ggez_hub.evaluation.outcomes import Cell
from ggez_hub.evaluation.predictions import write_predictions
from ggez_hub.evaluation.recognition.asking import Places
from ggez_hub.evaluation.recognition.measuring import Folders, measure_drawings, shuffled
from ggez_hub.evaluation.selection import trade
from ggez_hub.families import get_family
from ggez_hub.registry.contributing.adapter_files import files_on_disk
from ggez_hub.world.cards import EVIDENCE, code_commit
from ggez_hub.world.diffusion.building import CARD, RECORD, base_revision
from ggez_hub.world.diffusion.judging import tasks
from ggez_hub.world.diffusion.model import BASE_ID
from ggez_hub.world.diffusion.place import Place
from ggez_hub.world.diffusion.prose import LICENSE, adapter_prose


def write_cards(assets: Path, progress: Progress | None = None) -> None:
    """Measure every adapter over the grid; complete the cards, and write their evidence."""
    # Before anything is measured: the checkout may move on while the scores are computed.
    evaluator = code_commit()
    place = Place(assets)
    for name in place.adapters:
        measured = measure_drawings(
            folders(place, name), get_family("diffusion"), tasks(), progress=progress
        )
        document = _completed(place, name, measured, evaluator)
        (place.adapter(name) / CARD).write_text(render_card(document), encoding="utf-8")


def folders(place: Place, name: str) -> Folders:
    """Where the parts of a measurement lie."""
    data = Places(place.prompts, place.clip, place.references)
    return Folders(place.base, place.adapter(name), data)


def leads(measured: Measurement, beta: float) -> dict[str, Estimate]:
    """Task id -> how far the model is ahead of shuffled prompts on test, in points."""
    found = {name: measured.outcomes[Cell(beta, name, "test")] for name in measured.records()}
    return {name: mean_difference([o], [shuffled(o)]) for name, o in found.items()}


def _completed(place: Place, name: str, measured: Measurement, evaluator: str) -> CardDocument:
    folder = place.adapter(name)
    written = read_card(folder / CARD)
    record: Mapping[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    evidence = write_predictions(folder / EVIDENCE, measured.outcomes)
    curve = curve_rows(
        measured.outcomes,
        measured.records(),
        measured.models,
        measured_by="registry",
        evaluator=evaluator,
        predictions=evidence,
    )
    card = written.card.model_copy(
        update={
            "level": "measured",
            "base": written.card.base.model_copy(update={"revision": base_revision(place)}),
            "data_filter": _data_filter(record, written.card),
            "curve": curve,
            "files": dict(files_on_disk(folder).files),
            "published_by": "ggez-world",
            "registered_by": "ggez-world",
        }
    )
    chosen = trade(curve, "validation", card.alpha.value, card.region, card.region)
    front = {
        "base_model": BASE_ID,
        "base_model_relation": "adapter",
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "language": list(card.languages),
        "license": LICENSE,
        "tags": [*hub_tags(card), "ggez-demo"],
    }
    prose = adapter_prose(card, leads(measured, chosen.chosen.beta), record["reconstructed"])
    return CardDocument(card, front, prose)


def _data_filter(record: Mapping[str, Any], card: AdapterCard) -> DataFilter:
    """What `train` says of the rows, with the packages that they were made of."""
    assert card.data_filter != "unknown"  # noqa: S101 - `train` writes it
    sources = [
        {
            "repo": source["package"].rpartition("@")[0],
            "revision": source["package"].rpartition("@")[2],
            "license": source["license"],
        }
        for source in record["sources"]
        if source["for"] in {"names", "training pictures"}
    ]
    rules = [
        "things that are drawn in all four styles and have a Thai name: no faces, gestures, signs or clock faces",
        "concepts whose pictures in the training styles the judge recognises",
        "96 of them by lot, none of which the base was trained on",
    ]
    return DataFilter.model_validate(
        {**card.data_filter.model_dump(), "sources": sources, "rules": rules}
    )
