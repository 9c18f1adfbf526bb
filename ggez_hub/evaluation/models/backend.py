"""How the models of a family are opened and asked, as it names it: one, or a grid of betas on it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ggez_hub.digests import digest_json
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache, answers_of
from ggez_hub.evaluation.models.model_under_test import (
    LoadedModel,
    ModelUnderTest,
    StoredModel,
    SwappableModel,
    model_digests,
)
from ggez_hub.evaluation.models.weight_swap import Adapted, LiveWeights
from ggez_hub.families import Family
from ggez_hub.families.pretrained import NotLoaded
from ggez_hub.parity.betas import Beta, beta_key, betas_of
from ggez_hub.plugins import installed, load_value

if TYPE_CHECKING:
    from ggez_hub.evaluation.models.judge_model import JudgeModel

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


def find_backend(
    family: Family, pictures: Path | None = None, judge: JudgeModel | None = None
) -> EvaluationBackend:
    """How models of a family are asked.

    What models draw is kept in the folder `pictures`, which they need; a judge looks at drawings,
    those excepted whose task names its own. Raises UsageProblem, BadPlugin.
    """
    named, draws = family.evaluation_backend, family.generates == "pictures"
    if not named or (draws and pictures is None):
        raise UsageProblem(
            f"models of the family {family.name!r} cannot be asked",
            "Give a folder for what they draw." if named else "It names no evaluation_backend.",
        )
    if judge is not None and not draws:
        raise UsageProblem(
            f"a model of the family {family.name!r} does not draw",
            "A judge is for models that do, as pipelines of diffusers.",
        )
    found = load_value(named, Callable if draws else EvaluationBackend, "backend")
    backend: EvaluationBackend = found(pictures, judge) if draws else found
    return backend


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


def kept_answers(model: ModelUnderTest) -> AnswerCache:
    """A model's answers in the user's cache, by the libraries and plug-ins installed here."""
    families = [record.document for record in installed("families")]
    return answers_of(digest_json({"model": model.digest, "engine": engine(), "plugins": families}))


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """The versions of the libraries that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


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
