"""What commands that measure share: the models that are named, and their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ggez_hub.cli.measuring import find_adapter, find_model, trained_on
from ggez_hub.errors import UsageProblem

if TYPE_CHECKING:
    from ggez_hub.evaluation.answered import Answered
    from ggez_hub.evaluation.origin import Place
    from ggez_hub.evaluation.subjects import UnderTest
    from ggez_hub.evaluation.subjects.judging import Judge
    from ggez_hub.evaluation.subjects.opening import Way
    from ggez_hub.evaluation.sweep import TrainedOn
    from ggez_hub.families import Family
    from ggez_hub.hub import Hub
    from ggez_hub.merging.betas_by_part import BetasByPart
    from ggez_hub.parity.betas import Beta


class Named(NamedTuple):
    """A model that was named: what it was trained on, and where it and its adapters were found."""

    subject: UnderTest
    trained_on: TrainedOn
    place: Place
    adapters: tuple[Place, ...] = ()


@dataclass(frozen=True)
class ModelPlace:
    """Where models come from, and where their answers are kept.

    target        the results folder, in which the pictures are kept that a model draws
    cached        whether answers are kept in the user's cache
    key_variable, parallel   how an endpoint is asked
    """

    hub: Hub
    target: Path
    cached: bool
    key_variable: str | None = None
    parallel: int = 8

    def model(
        self, named: str, adapter: str | None, beta: float | None, judge: Judge | None = None
    ) -> Named:
        """The model that is named; raises UsageProblem, and what finding it raises."""
        from ggez_hub.evaluation.origin import AtAddress
        from ggez_hub.evaluation.subjects import Adapted, model_in
        from ggez_hub.evaluation.subjects.served import is_address, served
        from ggez_hub.families import detect_family

        if is_address(named):
            if adapter is not None or judge is not None:
                raise UsageProblem("an endpoint takes no adapter, and draws nothing to be judged")
            subject = served(named, self.key_variable, self.parallel)
            return Named(subject, "unknown", AtAddress(address=named))
        base = find_model(named, Path(), self.hub)
        adapted, on = None, None
        if adapter is not None and beta is not None:
            on = find_adapter(adapter, Path(), self.hub)
            adapted = Adapted(on.path, beta)
        family = detect_family(base.path)
        return Named(
            model_in(base.path, family, self.way(family, judge), adapted),
            trained_on(on.path if on else base.path),
            base.place(self.target),
            (on.place(self.target),) if on else (),
        )

    def at_betas(
        self,
        named: str,
        adapters: Sequence[str],
        betas: Sequence[Beta],
        judge: Judge | None,
        parts: BetasByPart | None = None,
    ) -> tuple[UnderTest, ...]:
        """A model that is named, at each of some betas; raises as `model` does."""
        from ggez_hub.evaluation.identity import Model
        from ggez_hub.evaluation.subjects import grid_on
        from ggez_hub.families import detect_family
        from ggez_hub.parity.betas import single

        if len(betas) == 1 and len(adapters) < 2 and parts is None:
            # As `eval` opens it: with the adapter on it while it is loaded.
            adapter, beta = (adapters[0], single(betas[0])) if adapters else (None, None)
            return (self.model(named, adapter, beta, judge).subject,)
        base = find_model(named, Path(), self.hub).path
        on = tuple(find_adapter(adapter, Path(), self.hub).path for adapter in adapters)
        family = detect_family(base)
        return grid_on(Model(base, on, family, parts), betas, self.way(family, judge))

    def way(self, family: Family, judge: Judge | None) -> Way:
        """How models of a family are asked; raises UsageProblem."""
        from ggez_hub.evaluation.subjects.opening import PAINTERS, painter_way, way_of

        if judge is None and family.name != PAINTERS:
            return way_of(family)
        return painter_way(family, judge, self.target / "pictures")

    def judge(self, named: str) -> tuple[Judge, Place]:
        """The judge that is named, and where it was found; a folder is called by its last name."""
        from ggez_hub.evaluation.subjects.judging import Judge
        from ggez_hub.evaluation.sweep import WORK

        found = self.model(named, None, None)
        name = Path(named).resolve().name if Path(named).is_dir() else named.rpartition("#")[2]
        judge = Judge(name, found.subject, lambda judge: self.known(judge, self.target / WORK))
        return judge, found.place

    def known(self, model: UnderTest, work: Path) -> Answered:
        """The answers of a model in the user's cache, as computed by what is installed here.

        Of a model whose weights are not known, those of this very run.
        """
        from ggez_hub.evaluation.answered import InMemory, OnDisk, answers_of
        from ggez_hub.evaluation.subjects.opening import engine
        from ggez_hub.weights import digest_json

        if not self.cached:
            return InMemory()
        if not model.shared:
            return OnDisk(work / f"{model.digest}.sqlite")
        return answers_of(digest_json({"model": model.digest, "engine": engine()}))
