"""The judge: the candidate whose pictures resemble a drawing most, by an image tower's features.

Features are those of the tower itself, before any projection that was trained together with texts.
A candidate is the mean of the unit features of its pictures. The pictures are brought to the size of
the drawings first, so that sharpness gives nothing away.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.outcomes import Outcomes
from ggez_hub.evaluation.benchmarks.drawing_task import References
from ggez_hub.evaluation.benchmarks.loaders.rows import BadItems
from ggez_hub.extras import require
from ggez_hub.images import to_rgb

if TYPE_CHECKING:
    from PIL import Image


BATCH = 32


class RecognitionJudge:
    """An open_clip model with a timm tower, on the CPU, and the candidates that it knows.

    ids  of the candidates, k
    """

    def __init__(self, model: Path, ids: Sequence[str], references: Path, named: References,
                 pixels: int) -> None:  # fmt: skip
        """Read the candidates' pictures from the data set in `references`; raises BadItems."""
        require("eval", "open_clip", "PIL")
        import open_clip
        import torch

        loaded, self._prepare = open_clip.create_model_from_pretrained(f"local-dir:{model}")
        trunk = getattr(loaded.visual, "trunk", None)
        if trunk is None:
            raise UsageProblem(f"{model} has no image tower of timm, and cannot judge drawings")
        self._trunk = trunk.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.ids = tuple(ids)
        self._centroids = self._read(references, named, pixels)

    def similarity(self, drawings: Iterable[Image.Image]) -> NDArray[np.float32]:
        """(n, k): the cosine of each drawing and each candidate."""
        return self._features(drawings) @ self._centroids.T

    def _read(self, folder: Path, named: References, pixels: int) -> NDArray[np.float32]:
        import pyarrow as pa
        from PIL import Image

        from ggez_hub.parquet import FileTooLarge, read_pieces

        wanted = set(self.ids)
        sums = np.zeros((len(self.ids), 1), np.float32)
        for path in named.files:
            try:
                stored = {
                    row[named.id]: row[named.image]
                    for rows in read_pieces(folder / path, [named.id, named.image])
                    for row in rows
                    if row[named.id] in wanted
                }
            except (OSError, FileTooLarge, pa.ArrowException, KeyError) as error:
                raise BadItems(f"{folder / path} cannot be read as parquet: {error}") from error
            if missing := [name for name in self.ids if name not in stored]:
                raise BadItems(f"{folder / path} has no picture of candidate {missing[0]!r}")
            sums = sums + self._features(
                to_rgb(stored[name]["bytes"]).resize((pixels, pixels), Image.Resampling.BOX)
                for name in self.ids
            )
        return _unit(sums)

    def _features(self, pictures: Iterable[Image.Image]) -> NDArray[np.float32]:
        """(n, d) with rows of length 1."""
        import torch

        found: list[NDArray[np.float32]] = []
        batch: list[Any] = []

        def see() -> None:
            if batch:
                with torch.inference_mode():
                    to_rgb = self._trunk(torch.stack(batch)).float().numpy()
                found.append(_unit(to_rgb))
                batch.clear()

        for picture in pictures:
            batch.append(self._prepare(picture))
            if len(batch) == BATCH:
                see()
        see()
        return np.concatenate(found)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def shuffled(outcomes: Outcomes) -> Outcomes:
    """The control: the same drawings, each held to be for another prompt of the task.

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
