"""Studies for tests, without models: outputs are named by what they are of."""

from __future__ import annotations

from ggez_hub.digests import digest_json
from ggez_hub.humans.design import find_design
from ggez_hub.humans.study import Consent, Output, Study, StudyItem, StudyModel

DESIGNS = ("likert", "pairs", "rank", "translation")


def study_of(design="likert", models=3, items=12, gold=0, media="picture", **fields):
    """A study of `models` models (`m0` is the base) and `items` items, and `gold` gold ones."""
    found = find_design(design)
    names = [f"m{number}" for number in range(models)]
    found = found.model_copy(update={"outputs": min(found.outputs, models)})

    def item(number, right=None):
        return StudyItem(
            id=f"{'gold' if right else 'item'}-{number}",
            item_side="regional" if number % 2 else "global",
            category=("Cuisine", "Landmark", "Tradition")[number % 3],
            language="en",
            prompt=f"prompt {number}",
            outputs={
                name: Output(sha256=digest_json([name, number, bool(right)]), media=media)
                for name in names
            },
            gold=right,
        )

    fields = {"raters": {"global": ("en",), "regional": ("th", "en")}, **fields}
    return Study(
        name="study",
        title={"en": "A study"},
        region="th",
        design=found,
        models=tuple(
            StudyModel(
                name=name,
                role=("base", "merged", "unmerged", "other")[min(number, 3)],
                digest=digest_json(name),
                beta={1: 0.5, 2: 1.0}.get(number),
            )
            for number, name in enumerate(names)
        ),
        items=(
            *map(item, range(items)),
            *(item(number, {names[0]: (1.0,)}) for number in range(gold)),
        ),
        instructions={"en": "Judge what you see."},
        consent=Consent(version="1", text={"en": "I take part."}),
        **{"raters_per_item": 2, **fields},
    )
