"""The models that a filter asks: they are opened once in each process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from ggez_hub.atomic_files import write_file
from ggez_hub.data.plan import FilterPlan
from ggez_hub.data.region_rules import CountryClassifier, picture_rules
from ggez_hub.data.scorer_agreement import read_agreement
from ggez_hub.data.scorers.scorer import Scorer
from ggez_hub.data.scorers.spec import open_scorer
from ggez_hub.data.spec import FilterSpec, LanguageRule
from ggez_hub.data.translation import Augmenter
from ggez_hub.errors import UsageProblem


@dataclass(frozen=True)
class ModelNames:
    """What the report says of the models.

    `agreement` is that of the scorer with people, or `unmeasured`.
    """

    scorer: str | None = None
    languages: tuple[str, ...] = ()
    agreement: dict[str, Any] | str = "unmeasured"
    translator: str | None = None

    def write(self, path: Path) -> None:
        write_file(path, json.dumps(asdict(self)), durable=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The names in a file; without the file there is no model."""
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else cls()


@dataclass(frozen=True)
class FilterModels:
    """The models of a plan, opened when they are first asked."""

    plan: FilterPlan

    def names(self) -> ModelNames:
        """Open all models.

        Raises UsageProblem for a scorer that may not be used, GgezError for a model that cannot be
        opened.
        """
        scorer, translator, _ = self.scorer, self.translator, self.picture_rules
        return ModelNames(
            scorer.name if scorer else None,
            tuple(sorted(scorer.languages)) if scorer else (),
            self._agreement(scorer) if scorer else "unmeasured",
            translator.name if translator else None,
        )

    @cached_property
    def scorer(self) -> Scorer | None:
        spec = self.plan.spec
        if spec.reward == "none":
            return None
        return open_scorer(
            spec.reward.scorer, self.plan.folder, trained=spec.base, texts=languages_kept(spec)
        )

    @cached_property
    def translator(self) -> Augmenter | None:
        spec = self.plan.spec.translation
        return None if spec == "none" else Augmenter.of(spec, self.plan.folder)

    @cached_property
    def picture_rules(self) -> list[CountryClassifier]:
        return picture_rules(self.plan.spec, self.plan.folder)

    def _agreement(self, scorer: Scorer) -> dict[str, Any] | str:
        spec = self.plan.spec.reward
        if spec == "none" or spec.agreement is None:
            return "unmeasured"
        measured = read_agreement(self.plan.folder / spec.agreement)
        if measured["scorer"] != scorer.name:
            raise UsageProblem(
                f"the agreement in {spec.agreement} is of {measured['scorer']}, not of {scorer.name}",
                "Measure this scorer: `ggez-hub reward agreement`.",
            )
        return {key: measured[key] for key in ("agreement", "low", "high", "n", "ties")}


def languages_kept(spec: FilterSpec) -> frozenset[str] | None:
    """The languages that a text must have to be kept; None where others may pass too."""
    rules = spec.keep_region.rules
    if spec.keep_region.needed < len(rules):
        return None
    found = [frozenset(rule.languages) for rule in rules if isinstance(rule, LanguageRule)]
    return frozenset.intersection(*found) if found else None
