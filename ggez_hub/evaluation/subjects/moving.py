"""A grid of betas as models under test, of which one copy is in memory."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import partial

from ggez_hub.evaluation.answered import Answered
from ggez_hub.evaluation.identity import Model, model_digests
from ggez_hub.evaluation.subjects.base import Movable, Subject, UnderTest
from ggez_hub.evaluation.subjects.live import LiveWeights
from ggez_hub.evaluation.subjects.loading import Adapted
from ggez_hub.evaluation.subjects.opening import Way, way_of
from ggez_hub.families.loading import NotLoaded
from ggez_hub.parity.betas import Beta, beta_key, betas_of


def grid_on(model: Model, betas: Sequence[Beta], way: Way | None = None) -> tuple[UnderTest, ...]:
    """The model at each point of a grid; one copy of it is in memory; asked in its family's way.

    Whoever opens one of them moves the others. Raises UsageProblem for a family that cannot be
    asked, and for what is no grid.
    """
    asked, digests = way or way_of(model.family), model_digests(model, betas)
    moving = _Moving(model, asked)
    return tuple(
        UnderTest(
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

    def __init__(self, model: Model, way: Way) -> None:
        self._model, self._way = model, way
        self._subject: Movable | None = None
        self._weights: LiveWeights | None = None
        self._loads_anew = False

    def at(self, betas: Sequence[float], known: Answered) -> Subject:
        if not self._loads_anew and self._weights is None:
            self._open(known)
        if self._subject is None or self._weights is None:
            return self._loaded(betas, known)
        self._weights.set_betas(betas)
        self._subject.moved(self._weights.touched, known)
        return self._subject

    def _open(self, known: Answered) -> None:
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

    def _loaded(self, betas: Sequence[float], known: Answered) -> Subject:
        """The base with the adapter on it; raises NotLoaded where the library cannot be given both.

        At beta 0 too: what cannot be done is known before anything is asked.
        """
        (adapter,), (beta,) = self._model.adapters, betas
        # What was there before is let go first: two copies may be more than there is room for.
        gc.collect()
        adapted = Adapted(adapter, beta, self._model.parts)
        return self._way.open(self._model.base, self._model.family, adapted, known)
