"""Gold items: what a careful rater answers is known of them.

Those of a study are declared in the file of its items, or made of its own items: one model's output
is replaced by what it gave for another item, which is the worst there is.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence

from ggez_hub.humans.assignment import TRAINING
from ggez_hub.humans.design import Design
from ggez_hub.humans.spec import StudySpec
from ggez_hub.humans.study import StudyItem

# What comes before the id of an item, in that of the gold item that is made of it.
GOLD = "gold/"


def mismatched(spec: StudySpec, design: Design, items: Sequence[StudyItem]) -> Iterator[StudyItem]:
    """The gold items that are made of a study's items."""
    judged = [item for item in items if item.gold is None]
    count = spec.mismatched
    if count is None:
        needs = spec.gold > 0 and design.mismatched and len(judged) == len(items)
        count = math.ceil(spec.gold * spec.items_per_rater) + TRAINING if needs else 0
    names = [model.name for model in spec.models]

    def place(item: StudyItem) -> bytes:
        return hashlib.sha256(f"{spec.seed}|mismatched|{item.id}".encode()).digest()

    order = sorted(judged, key=place)
    for number, item in enumerate(order[:count]):
        name = names[number % len(names)]
        others = [
            other
            for other in (*order[number + 1 :], *order[:number])
            if _differs(item, other, name)
        ]
        # Of another category, where there is one: it is not nearly right.
        other = next((o for o in others if o.category != item.category), next(iter(others), None))
        if other is None:
            continue
        outputs = {**item.outputs, name: other.outputs[name]}
        yield item.model_copy(
            update={
                "id": f"{GOLD}{item.id}",
                # Where one output is shown at once, the others would not be gold.
                "outputs": outputs if design.outputs > 1 else {name: outputs[name]},
                "gold": {name: worst_values(design)},
            }
        )


def worst_values(design: Design) -> tuple[float, ...]:
    """What a careful rater may answer of an output that is the worst: it may be no worse than others."""
    if design.ranking:
        return (design.outputs - 0.5, float(design.outputs))
    return (0.0, 0.5) if design.preference else (1.0,)


def _differs(item: StudyItem, other: StudyItem, name: str) -> bool:
    """Whether another item's output is one that was never asked for here."""
    return (
        other.language == item.language
        and other.prompt != item.prompt
        and other.outputs[name].sha256 not in {output.sha256 for output in item.outputs.values()}
    )
