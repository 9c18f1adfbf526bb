"""CLIPScore: 2.5 * max(cos, 0) of a picture and its text (Hessel et al., EMNLP 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ggez_hub.data.clip import Clip, open_clip_like
from ggez_hub.data.folders import model_folder
from ggez_hub.data.scorers.base import Scored, with_pictures
from ggez_hub.data.scorers.spec import ClipScorer

# The paper's w, which spreads the usual cosines over 0 to 1.
WEIGHT = 2.5


@dataclass(frozen=True)
class ClipScore:
    """The scores of a model; None for a row without a picture."""

    clip: Clip
    name: str
    languages: frozenset[str]

    @classmethod
    def of(cls, spec: ClipScorer, base: Path) -> ClipScore:
        """Open the model of a spec; raises NoModel."""
        found = model_folder(spec.model, spec.revision, base, spec.library)
        clip = open_clip_like(found.path, spec.library, spec.device, spec.batch)
        return cls(clip, f"CLIPScore {found.name}", frozenset(spec.languages))

    def score(self, rows: Sequence[Scored]) -> list[float | None]:
        scores: list[float | None] = [None] * len(rows)
        places, pictures = with_pictures(rows)
        if places:
            seen = self.clip.pictures(pictures)
            said = self.clip.texts([rows[place]["text"] for place in places])
            cosines = np.einsum("nd,nd->n", seen, said)
            for place, cosine in zip(places, cosines.tolist(), strict=True):
                scores[place] = WEIGHT * max(cosine, 0.0)
        return scores
