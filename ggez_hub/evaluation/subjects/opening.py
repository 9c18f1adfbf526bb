"""The model under test that a folder holds, by its family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answered import Answered
from ggez_hub.evaluation.identity import beta_key, model_digests
from ggez_hub.evaluation.subjects.base import Subject, UnderTest
from ggez_hub.evaluation.subjects.embedders import open_embedder
from ggez_hub.evaluation.subjects.generating import Generating
from ggez_hub.evaluation.subjects.seeing import SeeingModel
from ggez_hub.evaluation.subjects.similarity import BySimilarity
from ggez_hub.families import Family

# What computes: with another version of it the last digits of an answer may be others.
ENGINE = ("torch", "transformers", "open_clip_torch", "diffusers", "ggez-hub")


class Way(NamedTuple):
    """How the models of a family are asked, in the terms of UnderTest."""

    methods: tuple[str, ...]
    searches: bool
    open: Callable[[Path, Family, Answered], Subject]


def model_in(folder: Path, family: Family) -> UnderTest:
    """The model in a folder; raises UsageProblem for a family that cannot be asked."""
    if family.name not in WAYS:
        raise UsageProblem(
            f"models of the family {family.name!r} cannot be asked yet",
            f"Families: {', '.join(WAYS)}.",
        )
    way = WAYS[family.name]
    digests = model_digests(folder, None, family, [0.0])
    return UnderTest(
        digests[beta_key(0.0)],
        way.methods,
        way.searches,
        lambda known: way.open(folder, family, known),
    )


def engine() -> dict[str, str]:
    """What computes here, beside the model: libraries with versions, and the device."""
    import torch

    found = {"device": "cuda" if torch.cuda.is_available() else "cpu"}
    for name in ENGINE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


WAYS: Mapping[str, Way] = {
    "embedding": Way(
        ("similarity",),
        True,
        lambda folder, family, known: BySimilarity(open_embedder(folder, family), known),
    ),
    "vlm": Way(
        ("likelihood", "generation"),
        False,
        lambda folder, family, known: Generating(SeeingModel(folder, family), known),
    ),
}
