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
from ggez_hub.evaluation.subjects.drawing import DrawnAndJudged
from ggez_hub.evaluation.subjects.embedders import open_embedder
from ggez_hub.evaluation.subjects.generating import Generating
from ggez_hub.evaluation.subjects.judging import Judge
from ggez_hub.evaluation.subjects.loading import Adapted
from ggez_hub.evaluation.subjects.pipelines import Pipeline
from ggez_hub.evaluation.subjects.seeing import SeeingModel
from ggez_hub.evaluation.subjects.similarity import BySimilarity
from ggez_hub.families import Family

# What computes: with another version of it the last digits of an answer may be others.
ENGINE = ("torch", "transformers", "open_clip_torch", "diffusers", "ggez-hub")


class Way(NamedTuple):
    """How the models of a family are asked, in the terms of UnderTest."""

    methods: tuple[str, ...]
    searches: bool
    open: Callable[[Path, Family, Adapted | None, Answered], Subject]


def model_in(folder: Path, family: Family, adapted: Adapted | None = None) -> UnderTest:
    """The model in a folder, with an adapter on it if there is one.

    Raises UsageProblem for a family that cannot be asked, or a beta that is no point of a grid.
    """
    if family.name == "diffusion":
        raise UsageProblem(
            f"{folder} holds a model that draws", "Name who judges its pictures: --judge MODEL."
        )
    if family.name not in WAYS:
        raise UsageProblem(
            f"models of the family {family.name!r} cannot be asked yet",
            f"Families: {', '.join(WAYS)}.",
        )
    way = WAYS[family.name]
    adapter, beta = adapted or (None, 0.0)
    return UnderTest(
        model_digests(folder, adapter, family, [beta])[beta_key(beta)],
        way.methods,
        way.searches,
        lambda known: way.open(folder, family, adapted, known),
        beta,
    )


def painter_in(
    folder: Path, family: Family, adapted: Adapted | None, judge: Judge, pictures: Path
) -> UnderTest:
    """The pipeline in a folder, with an adapter on it if there is one, and who judges what it draws.

    `pictures` is the folder that they are kept in. Raises UsageProblem for another family.
    """
    if family.name != "diffusion":
        raise UsageProblem(
            f"{folder} holds no model that draws but one of the family {family.name!r}",
            "A judge is for pipelines of diffusers.",
        )
    adapter, beta = adapted or (None, 0.0)
    return UnderTest(
        model_digests(folder, adapter, family, [beta])[beta_key(beta)],
        (judge.method,),
        searches=False,
        open=lambda known: DrawnAndJudged(
            Pipeline(folder, family, adapted), judge.open(), known, pictures
        ),
        beta=beta,
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
        lambda folder, family, adapted, known: BySimilarity(
            open_embedder(folder, family, adapted), known
        ),
    ),
    "vlm": Way(
        ("likelihood", "generation"),
        False,
        lambda folder, family, adapted, known: Generating(
            SeeingModel(folder, family, adapted), known
        ),
    ),
}
