"""The controls of the world's figures: the same questions with shuffled names, or without pictures.

A model that has learnt which name belongs to which picture must do better than on names that are
shuffled among the pictures; one that has learnt something else (that some pictures are often right,
say) need not. One that writes must do better than where every picture is blank: else it chooses by
the names alone.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from demo_world.card_text import CardContext
from demo_world.pictures import SIZE, webp
from ggez_hub.demo.questions import FamilyQuestions
from ggez_hub.evaluation.answers.outcomes import Cell, Outcomes
from ggez_hub.evaluation.answers.scores import mean_difference
from ggez_hub.evaluation.models.model_under_test import StoredModel
from ggez_hub.families import get_family
from ggez_hub.parity.intervals import Interval


def lead_over_corrupted(
    questions: FamilyQuestions, context: CardContext, corrupt: Callable[[Path], None]
) -> Mapping[Cell, Interval]:
    """How far base, merge and adapter are ahead of themselves on test where `corrupt` rewrote the data."""
    place, real = context.place, context.answered
    model = StoredModel(
        place.base, (place.adapter(context.card.region),), get_family(place.part.family)
    )
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(place.data, folder, dirs_exist_ok=True)
        corrupt(Path(folder, "data", "test.parquet"))
        control = questions.ask(
            model, lambda _: Path(folder), context.region, context.betas, ("test",)
        )
    return {
        cell: mean_difference([real.outcomes[cell]], [outcomes])
        for cell, outcomes in control.outcomes.items()
        if real.records[cell.task].scale == real.scale
    }


def blank_pictures(path: Path) -> None:
    """Put a white square in the place of every picture."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    white = webp(Image.new("RGB", (SIZE, SIZE), "white"))
    table = pq.read_table(path)
    number = table.schema.get_field_index("image")
    field = table.schema.field(number)
    rows = [{"bytes": white, "path": None}] * table.num_rows
    pq.write_table(table.set_column(number, field, pa.array(rows, field.type)), path)


def shuffle_names(path: Path, columns: Sequence[str]) -> None:
    """Permute each column among its rows that have a name, by a fixed seed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    for column in columns:
        values = table.column(column).to_pylist()
        places = [i for i, value in enumerate(values) if value is not None]
        names = [values[i] for i in places]
        random.Random(0).shuffle(names)  # noqa: S311 - a control, not a secret
        for place, name in zip(places, names, strict=True):
            values[place] = name
        number = table.schema.get_field_index(column)
        field = table.schema.field(number)
        table = table.set_column(number, field, pa.array(values, field.type))
    pq.write_table(table, path)


def shuffle_drawings(outcomes: Outcomes) -> Outcomes:
    """The same drawings, each taken to be for another prompt of the task.

    With a fixed seed; a prompt's drawing with seed s takes the place of another's with seed s, as if
    the prompts had been shuffled before they were drawn.
    """
    names = sorted(set(outcomes.gold))
    order = names[:]
    # A shuffle in one cycle: no prompt keeps its place.
    random.Random(0).shuffle(order)  # noqa: S311 - a control, not a secret
    stands_for = dict(zip(order, order[1:] + order[:1], strict=True))
    given = dict(zip(outcomes.items, outcomes.predicted, strict=True))
    predicted = tuple(
        given[f"{stands_for[gold]}/{item.rpartition('/')[2]}"]
        for item, gold in zip(outcomes.items, outcomes.gold, strict=True)
    )
    correct = np.array([a == b for a, b in zip(predicted, outcomes.gold, strict=True)])
    rank = np.where(correct, 1, 2).astype(np.int32)
    return replace(outcomes, predicted=predicted, correct=correct, rank=rank)
