"""Recognition of drawings: a judge names the candidate whose pictures a drawing resembles most.

It compares features of an image tower itself, before any projection trained together with texts.
A candidate is the mean of the unit features of its pictures. The pictures are brought to the size of
the drawings first, so that sharpness gives nothing away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggez_hub.digests import digest_json
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.evaluation.answers.outcomes import Details, Outcomes
from ggez_hub.evaluation.benchmarks.benchmark import Drawing
from ggez_hub.evaluation.benchmarks.loaders.rows import read_rows
from ggez_hub.evaluation.benchmarks.multiple_choice import MultipleChoice
from ggez_hub.evaluation.benchmarks.task import DrawingTask, References
from ggez_hub.extras import require
from ggez_hub.images import to_rgb

if TYPE_CHECKING:
    from PIL import Image


BATCH = 32


class RecognitionJudge:
    """An open_clip model with a timm tower, on the CPU, and the candidates that it knows.

    ids  of the candidates, k
    """

    def __init__(
        self, model: Path, ids: Sequence[str], references: Path, named: References, pixels: int
    ) -> None:
        """Read the candidates' pictures from the data set in `references`; raises GgezError."""
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
                raise GgezError(f"{folder / path} has no picture of candidate {missing[0]!r}")
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


class Wanted(NamedTuple):
    """One drawing: the candidate that it should be taken for, the prompt, and the seed."""

    id: str
    prompt: str
    seed: int

    @property
    def item(self) -> str:
        return f"{self.id}/{self.seed}"


@dataclass(frozen=True, eq=False)
class Recognition:
    """The drawings (n) of one task and split; `judge` opens it for drawings of so many pixels.

    Drawings of one prompt are one cluster: intervals are over prompts, not over pictures.
    """

    task: DrawingTask
    wanted: tuple[Wanted, ...]
    candidates: tuple[str, ...]
    judge: Callable[[int], RecognitionJudge]

    def drawing(self, wanted: Wanted) -> Drawing:
        how = self.task.drawing
        return Drawing(seeds=[wanted.seed], steps=how.steps, guidance=how.guidance)

    def only(self, rows: Iterable[int]) -> Recognition:
        return replace(self, wanted=tuple(self.wanted[row] for row in rows))

    def similarity(self, files: Sequence[bytes]) -> NDArray[np.float32]:
        """Pictures (n) as files -> (n, k): how much each resembles each candidate."""
        drawings = [to_rgb(file) for file in files]
        return self.judge(drawings[0].width).similarity(drawings)

    def outcomes(self, similarity: NDArray[np.float32], drawn: Sequence[str]) -> Outcomes:
        """The outcomes; `drawn` (n) are the sha256 of the pictures."""
        number = {name: place for place, name in enumerate(self.candidates)}
        own = np.array([number[wanted.id] for wanted in self.wanted])
        options = np.broadcast_to(np.arange(len(self.candidates)), similarity.shape)
        n = len(self.wanted)
        return MultipleChoice(
            items=tuple(wanted.item for wanted in self.wanted),
            gold=tuple(wanted.id for wanted in self.wanted),
            texts=(),
            asked_by="text",
            queries=np.empty(0, np.intp),
            options=options,
            right=options == own[:, None],
            option_ids=self.candidates,
            details=Details.of(
                n,
                # Drawings of one prompt are about one thing, and are drawn together in a bootstrap.
                images=[digest_json(wanted.id) for wanted in self.wanted],
                prompts=[digest_json(wanted.prompt) for wanted in self.wanted],
                raw=drawn,
                languages=[self.task.language] * n,
            ),
        ).scored(similarity)
