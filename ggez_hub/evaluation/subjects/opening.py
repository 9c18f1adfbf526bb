"""Which model under test a folder holds, by its family."""

from __future__ import annotations

from collections.abc import Mapping

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.subjects.base import Way
from ggez_hub.evaluation.subjects.embedders import open_embedder
from ggez_hub.evaluation.subjects.generating import Generating
from ggez_hub.evaluation.subjects.seeing import SeeingModel
from ggez_hub.evaluation.subjects.similarity import BySimilarity
from ggez_hub.families import Family


def way_of(family: Family) -> Way:
    """How models of a family are asked; raises UsageProblem."""
    if family.name not in WAYS:
        raise UsageProblem(
            f"models of the family {family.name!r} cannot be asked yet",
            f"Families: {', '.join(WAYS)}.",
        )
    return WAYS[family.name]


WAYS: Mapping[str, Way] = {
    "embedding": Way(
        ("similarity",), True, lambda folder, family: BySimilarity(open_embedder(folder, family))
    ),
    "vlm": Way(
        ("likelihood", "generation"),
        False,
        lambda folder, family: Generating(SeeingModel(folder, family)),
    ),
}
