"""A grid of betas as models under test, of which one copy is in memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ggez_hub.evaluation.answered import Answered
from ggez_hub.evaluation.identity import Model, beta_key, model_digests
from ggez_hub.evaluation.subjects.base import Movable, Subject, UnderTest
from ggez_hub.evaluation.subjects.live import LiveWeights
from ggez_hub.evaluation.subjects.opening import Way, way_of


def grid_on(model: Model, betas: Sequence[float], way: Way | None = None) -> tuple[UnderTest, ...]:
    """The model at each beta of a grid; one copy of it is in memory; asked in its family's way.

    Whoever opens one of them moves the others. Raises UsageProblem for a family that cannot be
    asked, and for what is no grid.
    """
    asked, digests = way or way_of(model.family), model_digests(model, betas)
    moving = _Moving(model, asked)
    return tuple(
        UnderTest(
            digests[beta_key(beta)], asked.methods, asked.searches, partial(moving.at, [beta]), beta
        )
        for beta in betas
    )


class _Moving:
    """A model that is opened when it is first needed, and then moved."""

    def __init__(self, model: Model, way: Way) -> None:
        self._model, self._way = model, way
        self._subject: Movable | None = None
        self._weights: LiveWeights | None = None

    def at(self, betas: Sequence[float], known: Answered) -> Subject:
        if self._subject is None or self._weights is None:
            model = self._model
            self._subject = self._way.open(model.base, model.family, None, known)
            self._weights = LiveWeights(model, self._subject.state)
        self._weights.set_betas(betas)
        self._subject.moved(self._weights.touched, known)
        return self._subject
