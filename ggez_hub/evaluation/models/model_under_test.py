"""What a model under test is, before and after it is opened."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.answers.outcomes import Outcomes
from ggez_hub.evaluation.benchmarks.questions import QuestionSet
from ggez_hub.parity.betas import Beta

if TYPE_CHECKING:
    import torch


class LoadedModel(Protocol):
    """A model under test, ready to be asked."""

    def answer(self, asked: QuestionSet, method: str) -> Outcomes:
        """What it answers to the questions about the pictures that are there.

        `method` is one of those that it has.
        """


class SwappableModel(LoadedModel, Protocol):
    """One whose weights are in memory, where they can be changed."""

    @property
    def state(self) -> Mapping[str, torch.Tensor]:
        """Its tensors; writing into them changes the model."""

    def weights_changed(self, names: Collection[str], known: AnswerCache) -> None:
        """These tensors have changed: from now on `known` holds what follows from them."""


@dataclass(frozen=True)
class ModelUnderTest:
    """A model under test that was not opened yet.

    digest    sha256 of what decides its answers
    methods   how it chooses among options, which the metric names; the first is the primary one
    searches  whether it has embeddings, by which pictures and texts are found
    open      makes it ready; it keeps its answers in what it is given
    beta      the weight of each adapter that is on it; 0 for a model as it is
    shared    whether the digest is of the weights: only then may runs share their answers
    remark    what users should know of how it is asked
    """

    digest: str
    methods: tuple[str, ...]
    searches: bool
    open: Callable[[AnswerCache], LoadedModel]
    beta: Beta = 0.0
    shared: bool = True
    remark: str = ""
