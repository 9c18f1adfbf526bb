"""What commands that measure share: the models that are named, and their answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.cli.measuring import adapter_place, model_folder, trained_on
from ggez_hub.errors import UsageProblem

if TYPE_CHECKING:
    from ggez_hub.evaluation.answered import Answered
    from ggez_hub.evaluation.subjects import UnderTest
    from ggez_hub.evaluation.subjects.judging import Judge
    from ggez_hub.evaluation.subjects.opening import Way
    from ggez_hub.evaluation.sweep import TrainedOn
    from ggez_hub.families import Family
    from ggez_hub.hub import Hub


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
    ) -> tuple[UnderTest, TrainedOn]:
        """The model that is named, and what it was trained on."""
        from ggez_hub.evaluation.subjects import Adapted, model_in
        from ggez_hub.evaluation.subjects.served import is_address, served
        from ggez_hub.families import detect_family

        if is_address(named):
            if adapter is not None or judge is not None:
                raise UsageProblem("an endpoint takes no adapter, and draws nothing to be judged")
            return served(named, self.key_variable, self.parallel), "unknown"
        folder = model_folder(named, Path(), self.hub)
        adapted = None
        if adapter is not None and beta is not None:
            adapted = Adapted(adapter_place(adapter, Path(), self.hub), beta)
        trained = trained_on(adapted.adapter if adapted else folder)
        family = detect_family(folder)
        return model_in(folder, family, self.way(family, judge), adapted), trained

    def way(self, family: Family, judge: Judge | None) -> Way:
        """How models of a family are asked; raises UsageProblem."""
        from ggez_hub.evaluation.subjects.opening import painter_way, way_of

        if judge is None:
            return way_of(family)
        return painter_way(family, judge, self.target / "pictures")

    def judge(self, named: str) -> Judge:
        """The judge that is named; a folder is called by its last name."""
        from ggez_hub.evaluation.subjects.judging import Judge
        from ggez_hub.evaluation.sweep import WORK

        model, _ = self.model(named, None, None)
        name = Path(named).resolve().name if Path(named).is_dir() else named.rpartition("#")[2]
        return Judge(name, model, lambda judge: self.known(judge, self.target / WORK))

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
