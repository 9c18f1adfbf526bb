"""The model under test that a folder holds, by its family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answered import Answered
from ggez_hub.evaluation.identity import Model, model_digests
from ggez_hub.evaluation.option_order import GENERATION
from ggez_hub.evaluation.recognition.asking import RECOGNITION
from ggez_hub.evaluation.subjects.base import Movable, UnderTest
from ggez_hub.evaluation.subjects.drawing import DrawnAndJudged
from ggez_hub.evaluation.subjects.embedders import open_embedder
from ggez_hub.evaluation.subjects.generating import Generating
from ggez_hub.evaluation.subjects.judging import Judge
from ggez_hub.evaluation.subjects.loading import Adapted
from ggez_hub.evaluation.subjects.pipelines import Pipeline
from ggez_hub.evaluation.subjects.seeing import SeeingModel
from ggez_hub.evaluation.subjects.similarity import BySimilarity
from ggez_hub.families import Family
from ggez_hub.parity.betas import beta_key

# What computes: with another version of it the last digits of an answer may be others.
ENGINE = ("torch", "transformers", "open_clip_torch", "diffusers", "ggez-hub")


# The family whose models draw.
PAINTERS = "diffusion"


class Way(NamedTuple):
    """How the models of a family are asked, in the terms of UnderTest."""

    methods: tuple[str, ...]
    searches: bool
    open: Callable[[Path, Family, Adapted | None, Answered], Movable]


def way_of(family: Family) -> Way:
    """How models of a family are asked; raises UsageProblem."""
    if family.name not in WAYS:
        raise UsageProblem(
            f"models of the family {family.name!r} cannot be asked yet",
            f"Families: {', '.join(WAYS)}.",
        )
    return WAYS[family.name]


def painter_way(family: Family, judge: Judge | None, pictures: Path) -> Way:
    """How pipelines are asked, with who judges what they draw; raises UsageProblem.

    `pictures` is the folder that they are kept in. Drawings that are recognised need no judge: the
    task names its own.
    """
    if family.name != PAINTERS:
        raise UsageProblem(
            f"a model of the family {family.name!r} does not draw",
            "A judge is for pipelines of diffusers.",
        )

    def opened(folder: Path, family: Family, adapted: Adapted | None, known: Answered) -> Movable:
        pipeline = Pipeline(folder, family, adapted)
        asks = judge.open() if judge else None
        return DrawnAndJudged(pipeline, asks, known, pictures, pipeline.state)

    methods = (judge.method,) if judge else ()
    return Way((*methods, RECOGNITION), searches=False, open=opened)


def model_in(
    folder: Path, family: Family, way: Way | None = None, adapted: Adapted | None = None
) -> UnderTest:
    """The model in a folder, with an adapter on it if there is one, asked in its family's way.

    Raises UsageProblem for a family that cannot be asked, or a beta that is no point of a grid.
    """
    asked = way or way_of(family)
    beta = adapted.beta if adapted else 0.0
    model = Model(folder, (), family)
    if adapted:
        model = Model(folder, (adapted.adapter,), family, adapted.parts)
    return UnderTest(
        model_digests(model, [beta])[beta_key(beta)],
        asked.methods,
        asked.searches,
        lambda known: asked.open(folder, family, adapted, known),
        beta,
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


def _open_seeing(folder: Path, family: Family, adapted: Adapted | None, known: Answered) -> Movable:
    model = SeeingModel(folder, family, adapted)
    return Generating(model, known, model.state)


WAYS: Mapping[str, Way] = {
    "embedding": Way(
        ("similarity",),
        True,
        lambda folder, family, adapted, known: BySimilarity(
            open_embedder(folder, family, adapted), known
        ),
    ),
    "vlm": Way(
        ("likelihood", "pmi", GENERATION),
        False,
        _open_seeing,
    ),
}
