"""The model under test with a cache of its frozen tower: a grid of betas takes a third of the time.

The answers are those of `VisionModel`, bit for bit: the same batches go through the same weights.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.models.backend import EvaluationBackend, find_backend
from ggez_hub.evaluation.models.generative_model import GenerativeModel, Posed
from ggez_hub.evaluation.models.model_under_test import SwappableModel
from ggez_hub.evaluation.models.vision_model import VisionModel
from ggez_hub.evaluation.models.weight_swap import Adapted
from ggez_hub.families import Family, get_family


class CachedVisionModel(VisionModel):
    """A FastVLM with a frozen tower."""

    def __init__(self, folder: Path, family: Family, adapted: Adapted | None = None) -> None:
        super().__init__(folder, family, adapted)
        self._questions: dict[Posed, Any] = {}
        tower = self.model.model.vision_tower
        see, seen = tower.forward, dict[str, Any]()

        def remembered(pixel_values: Any, **options: Any) -> Any:
            key = hashlib.sha256(pixel_values.numpy().tobytes()).hexdigest()
            if key not in seen:
                seen[key] = see(pixel_values, **options)
            return seen[key]

        tower.forward = remembered

    def encode(self, posed: Posed) -> Any:
        if posed not in self._questions:
            self._questions[posed] = super().encode(posed)
        return self._questions[posed]


def _open(
    folder: Path, family: Family, adapted: Adapted | None, known: AnswerCache
) -> SwappableModel:
    model = CachedVisionModel(folder, family, adapted)
    return GenerativeModel(model, known, model.state)


def cached_vision_backend() -> EvaluationBackend:
    """The family's backend with the cache."""
    return find_backend(get_family("vlm"))._replace(open=_open)
