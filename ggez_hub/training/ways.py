"""How each family is trained, looked up by the family's name."""

from __future__ import annotations

from collections.abc import Mapping

from ggez_hub.errors import UsageProblem
from ggez_hub.training import embedding, vlm
from ggez_hub.training.diffusion.way import WAY as DIFFUSION
from ggez_hub.training.learner import Way

WAYS: Mapping[str, Way] = {
    "embedding": embedding.WAY,
    "vlm": vlm.WAY,
    "diffusion": DIFFUSION,
}


def way_of(family: str) -> Way:
    """How models of a family are trained; raises UsageProblem."""
    if family not in WAYS:
        raise UsageProblem(
            f"models of the family {family!r} cannot be trained", f"Families: {', '.join(WAYS)}."
        )
    return WAYS[family]
