"""The language of each prompt, added to evidence that was measured before it was recorded."""

from __future__ import annotations

from pathlib import Path

from ggez_hub.cards import CardDocument, read_card, render_card
from ggez_hub.evaluation.prompt_language import record_prompt_languages
from ggez_hub.regions import find_region
from ggez_hub.weights import sha256_file
from ggez_hub.world.asking import SPLITS
from ggez_hub.world.parts import PARTS
from ggez_hub.world.place import CARD, EVIDENCE, Place, lies_in
from ggez_hub.world.prose import words_of


def record_prompts(assets: Path, family: str) -> tuple[Path, ...]:
    """Add the column to the evidence of a family's adapters; returns the cards that now name it.

    The texts are those of the tasks below `assets`: no model is asked, and no answer changes.
    """
    place = Place(assets, PARTS[family])
    ask, found = words_of(place.part).ask, []
    for name in place.adapters:
        evidence, path = place.adapter(name) / EVIDENCE, place.adapter(name) / CARD
        before = sha256_file(evidence)
        _, tasks = ask.prepare(lies_in(assets), find_region(name), SPLITS)
        after = record_prompt_languages(evidence, tasks)
        document = read_card(path)
        path.write_text(render_card(_renamed(document, before, after)), encoding="utf-8")
        found.append(path)
    return tuple(found)


def _renamed(document: CardDocument, before: str, after: str) -> CardDocument:
    """The card whose rows name the new file instead of the old one."""
    card = document.card
    assert card.curve != "unknown"  # noqa: S101 - the world's cards are measured
    curve = {
        beta: {
            key: row.model_copy(update={"predictions": after}) if row.predictions == before else row
            for key, row in rows.items()
        }
        for beta, rows in card.curve.items()
    }
    changed = card.model_copy(update={"curve": curve})
    return CardDocument(changed, document.front_matter, document.prose)
