"""The rows of a stage: those that are trained on, and those that are held out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.recipe_file import BadRecipe
from ggez_hub.training.job import Job
from ggez_hub.training.order import Order
from ggez_hub.training.recipe import Stage

if TYPE_CHECKING:
    import datasets


def tables_of(
    job: Job, stage: Stage, work: Path
) -> tuple[datasets.Dataset, datasets.Dataset | None]:
    """The rows of a stage and those of its validation; raises BadRecipe if there are too few."""
    recipe = job.recipe

    rows = job.examples(stage).table(work / "tables", job.unused)
    held_out = None
    last = stage is recipe.stages[-1] or stage.name == recipe.stages[-1].name
    if last and job.validation is not None:
        held_out = job.validation.table(work / "tables", job.unused)
    elif last and recipe.validation is not None and recipe.validation.share is not None:
        rows, held_out = _split(rows, recipe.validation.share, recipe.seed)
    for key, table, least in ((stage.key, rows, recipe.batch_size), ("validation", held_out, 1)):
        if table is not None and len(table) < least:
            raise BadRecipe(
                f"{key}: has {len(table)} examples that {recipe.family} can be trained on, and a "
                f"batch takes {least}",
                "Take more data, or a smaller batch_size.",
            )
    return rows, held_out


def row_key(identity: str) -> str:
    """The row of a source that an example is made of, by its id: source/row/view."""
    return "/".join(identity.split("/")[:-1]) or identity


def _split(
    rows: datasets.Dataset, share: float, seed: int
) -> tuple[datasets.Dataset, datasets.Dataset]:
    inside: list[int] = []
    outside: list[int] = []
    for number, identity in enumerate(rows["id"]):
        digest = hashlib.sha256(f"{seed}:{row_key(identity)}".encode()).digest()
        held_out = int.from_bytes(digest[:8], "big") < share * 2**64
        (outside if held_out else inside).append(number)
    return rows.select(inside), rows.select(outside)


def order_of(job: Job, rows: datasets.Dataset) -> Order:
    """The order of the rows; where a batch is told apart, views of one row are kept apart."""
    keys: Sequence[str] | None = None
    if job.way.apart:
        keys = [row_key(identity) for identity in rows["id"]]
    return Order(len(rows), job.recipe.batch_size, job.recipe.seed, keys)
