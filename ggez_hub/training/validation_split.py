"""The rows of a stage: those that are trained on, and those that are held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.recipe_file import BadRecipe
from ggez_hub.training.batches import BatchOrder
from ggez_hub.training.examples import Examples, reasons
from ggez_hub.training.job import Job
from ggez_hub.training.recipe import Stage

if TYPE_CHECKING:
    import datasets


def tables_of(
    job: Job, stage: Stage, work: Path
) -> tuple[datasets.Dataset, datasets.Dataset | None]:
    """The rows of a stage and those of its validation; raises BadRecipe if there are too few."""
    recipe = job.recipe
    examples = job.examples(stage)
    rows = examples.table(work / "tables", job.unused)
    held_out = None
    last = stage.name == recipe.stages[-1].name
    if last and job.validation is not None:
        held_out = job.validation.table(work / "tables", job.unused)
        _check_apart(rows, held_out)
    elif last and recipe.validation is not None and recipe.validation.share is not None:
        rows, held_out = _split(rows, recipe.validation.share, recipe.seed)
    if len(rows) < recipe.batch_size:
        raise BadRecipe(
            f"{stage.key}: has {len(rows)} examples that {recipe.family} can be trained on, and a "
            f"batch takes {recipe.batch_size}{_lost(job, examples)}",
            "Take more data, or a smaller batch_size.",
        )
    # What is told apart needs others to be told from.
    least = 2 if job.way.apart else 1
    if held_out is not None and len(held_out) < least:
        raise BadRecipe(
            f"validation: has {len(held_out)} examples, and its loss takes {least}",
            "Take more data, or a larger share.",
        )
    return rows, held_out


def _lost(job: Job, examples: Examples) -> str:
    lost = reasons(examples.sorted_out(job.unused))
    said = ", ".join(f"{reason}: {count:,}" for reason, count in lost.items())
    return f" (not used: {said})" if said else ""


def _check_apart(rows: datasets.Dataset, held_out: datasets.Dataset) -> None:
    """Raise BadRecipe if what is validated on is trained on: its loss would say nothing."""
    trained = {_content(row) for row in rows}
    both = [row["id"] for row in held_out if _content(row) in trained]
    if both:
        raise BadRecipe(
            f"validation: {len(both)} of its {len(held_out)} examples are trained on too, "
            f"{both[0]} first",
            "Take other data, or a share of the recipe's own: validation: {share: 0.01}.",
        )


def _content(row: Mapping[str, Any]) -> bytes:
    """The sha256 of an example without its id."""
    picture = row["image"]["bytes"] if row["image"] is not None else b""
    said = json.dumps([row["text"], row["messages"]], sort_keys=True).encode()
    return hashlib.sha256(hashlib.sha256(picture).digest() + said).digest()


def row_key(identity: str) -> str:
    """The row of a source that an example is made of, by its id: source/row/view."""
    return "/".join(identity.split("/")[:-1]) or identity


def is_held_out(identity: str, share: float, seed: int) -> bool:
    """Whether an example, by its id, is of the share that is validated on."""
    digest = hashlib.sha256(f"{seed}:{row_key(identity)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _split(
    rows: datasets.Dataset, share: float, seed: int
) -> tuple[datasets.Dataset, datasets.Dataset]:
    inside: list[int] = []
    outside: list[int] = []
    for number, identity in enumerate(rows["id"]):
        (outside if is_held_out(identity, share, seed) else inside).append(number)
    return rows.select(inside), rows.select(outside)


def order_of(job: Job, rows: datasets.Dataset) -> BatchOrder:
    """The order of the rows; where a batch is told apart, views of one row are kept apart."""
    keys: Sequence[str] | None = None
    if job.way.apart:
        keys = [row_key(identity) for identity in rows["id"]]
    return BatchOrder(len(rows), job.recipe.batch_size, job.recipe.seed, keys)
