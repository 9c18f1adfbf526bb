"""The model under test that a folder holds, by its family."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.benchmarks.preparation import RECOGNITION
from ggez_hub.evaluation.benchmarks.questions import GENERATION
from ggez_hub.evaluation.models.drawing_model import DrawnAndJudged, Pipeline
from ggez_hub.evaluation.models.embedding_model import open_embedder
from ggez_hub.evaluation.models.generative_model import Generating
from ggez_hub.evaluation.models.judge_model import JudgeModel
from ggez_hub.evaluation.models.model_digest import StoredModel, model_digests
from ggez_hub.evaluation.models.model_under_test import LoadedModel, ModelUnderTest, SwappableModel
from ggez_hub.evaluation.models.similarity import BySimilarity
from ggez_hub.evaluation.models.vision_model import SeeingModel
from ggez_hub.evaluation.models.weight_swap import Adapted, LiveWeights
from ggez_hub.families import Family
from ggez_hub.families.pretrained import NotLoaded
from ggez_hub.parity.betas import Beta, beta_key, betas_of

# What computes: with another version of it the last digits of an answer may be others.
ENGINE = ("torch", "transformers", "open_clip_torch", "diffusers", "ggez-hub")


class EvaluationBackend(NamedTuple):
    """How the models of a family are asked, in the terms of UnderTest."""

    methods: tuple[str, ...]
    searches: bool
    open: Callable[[Path, Family, Adapted | None, AnswerCache], SwappableModel]


def find_backend(family: Family) -> EvaluationBackend:
    """How models of a family are asked; raises UsageProblem."""
    if family.name not in WAYS:
        raise UsageProblem(
            f"models of the family {family.name!r} cannot be asked yet",
            f"Families: {', '.join(WAYS)}.",
        )
    return WAYS[family.name]


def drawing_backend(family: Family, judge: JudgeModel | None, pictures: Path) -> EvaluationBackend:
    """How pipelines are asked, with who judges what they draw; raises UsageProblem.

    `pictures` is the folder that they are kept in. Drawings that are recognised need no judge: the
    task names its own.
    """
    if family.generates != "pictures":
        raise UsageProblem(
            f"a model of the family {family.name!r} does not draw",
            "A judge is for pipelines of diffusers.",
        )

    def opened(
        folder: Path, family: Family, adapted: Adapted | None, known: AnswerCache
    ) -> SwappableModel:
        pipeline = Pipeline(folder, family, adapted)
        asks = judge.open() if judge else None
        return DrawnAndJudged(pipeline, asks, known, pictures, pipeline.state)

    methods = (judge.method,) if judge else ()
    return EvaluationBackend((*methods, RECOGNITION), searches=False, open=opened)


def model_in(
    folder: Path,
    family: Family,
    way: EvaluationBackend | None = None,
    adapted: Adapted | None = None,
) -> ModelUnderTest:
    """The model in a folder, with an adapter on it if there is one, asked in its family's way.

    Raises UsageProblem for a family that cannot be asked, or a beta that is no point of a grid.
    """
    asked = way or find_backend(family)
    beta = adapted.beta if adapted else 0.0
    model = StoredModel(folder, (), family)
    if adapted:
        model = StoredModel(folder, (adapted.adapter,), family, adapted.parts)
    return ModelUnderTest(
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


def _open_seeing(
    folder: Path, family: Family, adapted: Adapted | None, known: AnswerCache
) -> SwappableModel:
    model = SeeingModel(folder, family, adapted)
    return Generating(model, known, model.state)


WAYS: Mapping[str, EvaluationBackend] = {
    "embedding": EvaluationBackend(
        ("similarity",),
        True,
        lambda folder, family, adapted, known: BySimilarity(
            open_embedder(folder, family, adapted), known
        ),
    ),
    "vlm": EvaluationBackend(
        ("likelihood", "pmi", GENERATION),
        False,
        _open_seeing,
    ),
}


def grid_on(
    model: StoredModel, betas: Sequence[Beta], way: EvaluationBackend | None = None
) -> tuple[ModelUnderTest, ...]:
    """The model at each point of a grid; one copy of it is in memory; asked in its family's way.

    Whoever opens one of them moves the others. Raises UsageProblem for a family that cannot be
    asked, and for what is no grid.
    """
    asked, digests = way or find_backend(model.family), model_digests(model, betas)
    moving = _Moving(model, asked)
    return tuple(
        ModelUnderTest(
            digests[beta_key(beta)],
            asked.methods,
            asked.searches,
            partial(moving.at, betas_of(beta)),
            beta,
        )
        for beta in betas
    )


class _Moving:
    """A model that is opened when it is first needed, and then moved.

    Where the library computes with something else than the stored tensors that change, as with experts
    that it stacks, there is nothing to move: then the base is loaded anew at each beta, with the
    adapter on it.
    """

    def __init__(self, model: StoredModel, way: EvaluationBackend) -> None:
        self._model, self._way = model, way
        self._subject: SwappableModel | None = None
        self._weights: LiveWeights | None = None
        self._loads_anew = False

    def at(self, betas: Sequence[float], known: AnswerCache) -> LoadedModel:
        if not self._loads_anew and self._weights is None:
            self._open(known)
        if self._subject is None or self._weights is None:
            return self._loaded(betas, known)
        self._weights.set_betas(betas)
        self._subject.moved(self._weights.touched, known)
        return self._subject

    def _open(self, known: AnswerCache) -> None:
        model = self._model
        subject = self._way.open(model.base, model.family, None, known)
        try:
            self._weights = LiveWeights(model, subject.state)
        except NotLoaded:
            if len(model.adapters) != 1:
                raise
            self._loads_anew = True
        else:
            self._subject = subject

    def _loaded(self, betas: Sequence[float], known: AnswerCache) -> LoadedModel:
        """The base with the adapter on it; raises NotLoaded where the library cannot be given both.

        At beta 0 too: what cannot be done is known before anything is asked.
        """
        (adapter,), (beta,) = self._model.adapters, betas
        # What was there before is let go first: two copies may be more than there is room for.
        gc.collect()
        adapted = Adapted(adapter, beta, self._model.parts)
        return self._way.open(self._model.base, self._model.family, adapted, known)
