"""The rows of a stage: those that are trained on, and those that are held out for validation."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.quantities import counted
from ggez_hub.recipe_file import BadRecipe
from ggez_hub.training.batches import BatchOrder
from ggez_hub.training.job import Job
from ggez_hub.training.recipe import Stage

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True)
class RowCounts:
    """The rows of a stage, the examples among them, those of the examples that are held out.

    None where the data is not there yet. `unused` counts the rows that are not examples for the
    family, by reason, the commonest first.
    """

    rows: int | None = None
    examples: int | None = None
    held_out: int = 0
    unused: dict[str, int] = field(default_factory=dict)


def count_rows(job: Job, stage: Stage) -> RowCounts:
    """Count the rows of a stage without reading their pictures; raises BadRecipe."""
    share, problem = _share(job, stage), job.backend.row_problem
    found: Counter[str | None] = Counter()
    held_out = 0
    for row in job.examples(stage).rows(pictures=False):
        reason = problem(row)
        found[reason] += 1
        held_out += reason is None and is_held_out(row["id"], share, job.recipe.seed)
    unused = {reason: n for reason, n in found.most_common() if reason is not None}
    return RowCounts(found.total(), found[None], held_out, unused)


def stage_tables(
    job: Job, stage: Stage, work: Path
) -> tuple[datasets.Dataset, datasets.Dataset | None]:
    """The rows of a stage and those of its validation; raises BadRecipe if there are too few."""
    recipe, problem = job.recipe, job.backend.row_problem
    rows = job.examples(stage).table(work / "tables", problem)
    held_out = None
    if job.validation is not None and stage.name == recipe.stages[-1].name:
        held_out = job.validation.table(work / "tables", problem)
        _check_disjoint(rows, held_out)
    elif share := _share(job, stage):
        outside = [is_held_out(identity, share, recipe.seed) for identity in rows["id"]]
        held_out = rows.select([n for n, out in enumerate(outside) if out])
        rows = rows.select([n for n, out in enumerate(outside) if not out])
    if len(rows) < recipe.batch_size:
        unused = count_rows(job, stage).unused
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in unused.items())
        raise BadRecipe(
            f"{stage.key}: has {counted(len(rows), 'example')} that {recipe.family} can be trained on, and a "
            f"batch takes {recipe.batch_size}{f' (not used: {reasons})' if reasons else ''}",
            "Take more data, or a smaller batch_size.",
        )
    # A contrastive loss of one example compares it with nothing.
    least = 2 if job.backend.contrastive else 1
    if held_out is not None and len(held_out) < least:
        raise BadRecipe(
            f"validation: has {counted(len(held_out), 'example')}, and its loss takes {least}",
            "Take more data, or a larger share.",
        )
    return rows, held_out


def batch_order(job: Job, rows: datasets.Dataset) -> BatchOrder:
    """The order of the rows; in contrastive batches examples of one row of a source are apart."""
    keys = [row_key(identity) for identity in rows["id"]] if job.backend.contrastive else None
    return BatchOrder(len(rows), job.recipe.batch_size, job.recipe.seed, keys)


def row_key(identity: str) -> str:
    """The row of a source that an example is made of, by its id: source/row/view."""
    return identity.rpartition("/")[0] or identity


def is_held_out(identity: str, share: float, seed: int) -> bool:
    """Whether an example, by its id, is of the share that is validated on."""
    digest = hashlib.sha256(f"{seed}:{row_key(identity)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _share(job: Job, stage: Stage) -> float:
    """The share of the examples that is held out: of the last stage's only."""
    asked = job.recipe.validation
    last = stage.name == job.recipe.stages[-1].name
    return asked.share or 0.0 if asked is not None and last else 0.0


def _check_disjoint(rows: datasets.Dataset, held_out: datasets.Dataset) -> None:
    """Raise BadRecipe for validation on what is trained on: its loss would mean nothing."""
    trained = {_content(row) for row in rows}
    both = [row["id"] for row in held_out if _content(row) in trained]
    if both:
        raise BadRecipe(
            f"validation: {len(both)} of its {counted(len(held_out), 'example')} are trained on too, "
            f"{both[0]} first",
            "Take other data, or a share of the recipe's own: validation: {share: 0.01}.",
        )


def _content(row: Mapping[str, Any]) -> bytes:
    """The sha256 of an example without its id."""
    picture = row["image"]["bytes"] if row["image"] is not None else b""
    texts = json.dumps([row["text"], row["messages"]], sort_keys=True).encode()
    return hashlib.sha256(hashlib.sha256(picture).digest() + texts).digest()
