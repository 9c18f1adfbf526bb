"""The judge: the candidate whose pictures resemble a drawing most, by an image tower's features.

Features are those of the tower itself, before any projection that was trained together with texts.
A candidate is the mean of the unit features of its pictures. The pictures are brought to the size of
the drawings first, so that sharpness gives nothing away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.benchmarks.drawing_task import References
from ggez_hub.evaluation.benchmarks.loaders.rows import BadItems, read_rows
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
        from PIL import Image

        wanted = set(self.ids)
        columns = {named.id: "text", named.image: "image"}
        sums = np.zeros((len(self.ids), 1), np.float32)
        for path in named.files:
            stored = {
                row[named.id]: row[named.image]
                for row in read_rows(folder / path, columns)
                if row[named.id] in wanted
            }
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

        prepared = map(self._prepare, pictures)
        found: list[NDArray[np.float32]] = []
        while batch := list(islice(prepared, BATCH)):
            with torch.inference_mode():
                found.append(_unit(self._trunk(torch.stack(batch)).float().numpy()))
        return np.concatenate(found)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
