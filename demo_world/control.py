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
from pathlib import Path

from demo_world.card_text import CardContext
from demo_world.pictures import SIZE, webp
from ggez_hub.demo.questions import FamilyQuestions
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.answers.scores import Estimate, mean_difference
from ggez_hub.evaluation.models.model_digest import StoredModel
from ggez_hub.families import get_family


def lead_over_corrupted(
    questions: FamilyQuestions, context: CardContext, corrupt: Callable[[Path], None]
) -> Mapping[Cell, Estimate]:
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
