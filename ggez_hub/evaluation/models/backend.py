"""How the models of each family are opened and asked: one model, or a grid of betas on it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.benchmarks.multiple_choice import (
    GENERATION,
    LIKELIHOOD,
    PMI,
    RECOGNITION,
    SIMILARITY,
)
from ggez_hub.evaluation.models.drawing_model import DrawingModel, Pipeline
from ggez_hub.evaluation.models.embedding_model import open_embedder
from ggez_hub.evaluation.models.generative_model import GenerativeModel
from ggez_hub.evaluation.models.judge_model import JudgeModel
from ggez_hub.evaluation.models.model_under_test import (
    LoadedModel,
    ModelUnderTest,
    StoredModel,
    SwappableModel,
    model_digests,
)
from ggez_hub.evaluation.models.similarity import SimilarityModel
from ggez_hub.evaluation.models.vision_model import VisionModel
from ggez_hub.evaluation.models.weight_swap import Adapted, LiveWeights
from ggez_hub.families import Family
from ggez_hub.families.pretrained import NotLoaded
from ggez_hub.parity.betas import Beta, beta_key, betas_of

# With another version of these the last digits of an answer may differ.
ENGINE = ("torch", "transformers", "open_clip_torch", "diffusers", "ggez-hub")


class EvaluationBackend(NamedTuple):
    """How the models of a family are asked, as ModelUnderTest has it."""

    methods: tuple[str, ...]
    searches: bool
    open: Callable[[Path, Family, Adapted | None, AnswerCache], SwappableModel]

    def under_test(
        self, digest: str, opens: Callable[[AnswerCache], LoadedModel], beta: Beta
    ) -> ModelUnderTest:
        return ModelUnderTest(digest, self.methods, self.searches, opens, beta)


@runtime_checkable
class EvaluatedFamily(Protocol):
    """A family of a plug-in whose models can be asked."""

    def evaluation_backend(self) -> EvaluationBackend:
        """How they are asked."""


def find_backend(family: Family) -> EvaluationBackend:
    """How models of a family are asked; raises UsageProblem."""
    if isinstance(family, EvaluatedFamily):
        return family.evaluation_backend()
    if family.generates not in BACKENDS:
        raise UsageProblem(
            f"models of the family {family.name!r} cannot be asked yet",
            f"Only models that generate {' or '.join(BACKENDS)} can.",
        )
    return BACKENDS[family.generates]


def drawing_backend(family: Family, judge: JudgeModel | None, pictures: Path) -> EvaluationBackend:
    """How pipelines are asked, with the judge of their drawings; raises UsageProblem.

    The drawings are kept in the folder `pictures`. Those that are recognised need no judge: the task
    names its own.
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
        judges = judge.open() if judge else None
        return DrawingModel(pipeline, judges, known, pictures, pipeline.state)

    methods = (judge.method,) if judge else ()
    return EvaluationBackend((*methods, RECOGNITION), searches=False, open=opened)


def model_in(
    folder: Path,
    family: Family,
    backend: EvaluationBackend | None = None,
    adapted: Adapted | None = None,
) -> ModelUnderTest:
    """The model in a folder, with an adapter on it if there is one; by default its family's backend.

    Raises UsageProblem for a family that cannot be asked, or a beta that cannot be in a grid.
    """
    backend = backend or find_backend(family)
    beta = adapted.beta if adapted else 0.0
    model = StoredModel(folder, (), family)
    if adapted:
        model = StoredModel(folder, (adapted.adapter,), family, adapted.parts)
    return backend.under_test(
        model_digests(model, [beta])[beta_key(beta)],
        partial(backend.open, folder, family, adapted),
        beta,
    )


def engine() -> dict[str, str]:
    """The device and the versions of the libraries that compute here."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return {"device": device, **library_versions(ENGINE)}


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """The versions of the libraries that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _open_embedder(
    folder: Path, family: Family, adapted: Adapted | None, known: AnswerCache
) -> SwappableModel:
    return SimilarityModel(open_embedder(folder, family, adapted), known)


def _open_vision_model(
    folder: Path, family: Family, adapted: Adapted | None, known: AnswerCache
) -> SwappableModel:
    model = VisionModel(folder, family, adapted)
    return GenerativeModel(model, known, model.state)


BACKENDS: Mapping[str, EvaluationBackend] = {
    "embeddings": EvaluationBackend((SIMILARITY,), True, _open_embedder),
    "text": EvaluationBackend((LIKELIHOOD, PMI, GENERATION), False, _open_vision_model),
}


def grid_on(
    model: StoredModel, betas: Sequence[Beta], backend: EvaluationBackend | None = None
) -> tuple[ModelUnderTest, ...]:
    """The model at each point of a grid, of which one copy is in memory: opening one changes it.

    Raises UsageProblem for a family that cannot be asked, and for betas that are not a grid.
    """
    backend = backend or find_backend(model.family)
    digests = model_digests(model, betas)
    swapped = SwappedModel(model, backend)
    return tuple(
        backend.under_test(digests[beta_key(beta)], partial(swapped.at, betas_of(beta)), beta)
        for beta in betas
    )


class SwappedModel:
    """A model that is opened when it is first needed; then its weights are swapped in memory.

    Where the library does not compute with the stored tensors that change, as with experts that it
    stacks, the base is loaded anew at each beta, with the adapter on it.
    """

    def __init__(self, model: StoredModel, backend: EvaluationBackend) -> None:
        self._model, self._backend = model, backend
        self._opened: tuple[SwappableModel, LiveWeights] | None = None
        self._loads_anew = False

    def at(self, betas: Sequence[float], known: AnswerCache) -> LoadedModel:
        """The model with one beta for each adapter.

        Raises NotLoaded where the library cannot be given base and adapter, at beta 0 too: what
        cannot be done is known before anything is asked.
        """
        if self._opened is None and not self._loads_anew:
            self._open(known)
        if self._opened is not None:
            subject, weights = self._opened
            weights.set_betas(betas)
            subject.weights_changed(weights.touched, known)
            return subject
        model = self._model
        (adapter,), (beta,) = model.adapters, betas
        # The copy that was there before is freed first: there may not be room for two.
        gc.collect()
        return self._backend.open(
            model.base, model.family, Adapted(adapter, beta, model.parts), known
        )

    def _open(self, known: AnswerCache) -> None:
        model = self._model
        subject = self._backend.open(model.base, model.family, None, known)
        try:
            self._opened = subject, LiveWeights(model, subject.state)
        except NotLoaded:
            if len(model.adapters) != 1:
                raise
            self._loads_anew = True
