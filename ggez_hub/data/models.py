"""The models that a spec asks for, opened before the first part, and what the report says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ggez_hub.data.plan import FilterPlan
from ggez_hub.data.scorers.agreement import read_agreement
from ggez_hub.data.scorers.base import Scorer, ScorerRefused, open_scorer
from ggez_hub.data.spec import FilterSpec, LanguageRule, PictureRule
from ggez_hub.data.stages import PictureEvidence, Translator
from ggez_hub.data.work_folder import WorkFolder


@dataclass(frozen=True)
class Models:
    """Scorer, translator and picture evidence, as far as the spec asks for them.

    `agreement` is that of the scorer with people, or `unmeasured`.
    """

    spec: FilterSpec
    scorer: Scorer | None = None
    agreement: dict[str, Any] | str = "unmeasured"
    evidence: PictureEvidence | None = None
    translator: Translator | None = None

    def reward_block(self) -> dict[str, Any] | str:
        """What the report says of the reward filter."""
        spec = self.spec.reward
        if spec == "none" or self.scorer is None:
            return "none"
        return {
            "scorer": self.scorer.name,
            "languages": sorted(self.scorer.languages),
            "threshold": spec.threshold,
            "comparison": spec.comparison,
            "agreement": self.agreement,
        }

    def translator_line(self) -> str:
        """What the card says of the translator: its id and its terms."""
        spec = self.spec.translation
        if spec == "none" or self.translator is None:
            return "none"
        return f"{self.translator.name} ({spec.license})"


def open_models(plan: FilterPlan, work: WorkFolder) -> Models:
    """Open what the spec asks for; nothing is imported that it does not need.

    Raises ScorerRefused, NoModel, BadPairs.
    """
    scorer, agreed = _scorer(plan)
    return Models(plan.spec, scorer, agreed, _evidence(plan), _translator(plan, work))


def _scorer(plan: FilterPlan) -> tuple[Scorer | None, dict[str, Any] | str]:
    spec = plan.spec
    if spec.reward == "none":
        return None, "unmeasured"
    scorer = open_scorer(
        spec.reward.scorer, plan.folder, trained=spec.base, texts=languages_kept(spec)
    )
    if spec.reward.agreement is None:
        return scorer, "unmeasured"
    measured = read_agreement(plan.folder / spec.reward.agreement)
    if measured["scorer"] != scorer.name:
        raise ScorerRefused(
            f"the agreement in {spec.reward.agreement} is of {measured['scorer']}, not of "
            f"{scorer.name}",
            "Measure this scorer: `ggez-hub reward agreement`.",
        )
    return scorer, {key: measured[key] for key in ("agreement", "low", "high", "n", "ties")}


def languages_kept(spec: FilterSpec) -> frozenset[str] | None:
    """The languages that a text must have to be kept; None where others may pass too."""
    rules = spec.keep_region.rules
    if spec.keep_region.needed < len(rules):
        return None
    found = [frozenset(rule.languages) for rule in rules if isinstance(rule, LanguageRule)]
    return frozenset.intersection(*found) if found else None


def _evidence(plan: FilterPlan) -> PictureEvidence | None:
    rules = [rule for rule in plan.spec.keep_region.rules if isinstance(rule, PictureRule)]
    if not rules:
        return None
    from ggez_hub.data.picture_rule import PictureRules

    return PictureRules.of(rules, plan.spec.region, plan.folder)


def _translator(plan: FilterPlan, work: WorkFolder) -> Translator | None:
    if plan.spec.translation == "none":
        return None
    from ggez_hub.data.augmentation import Augmenter

    return Augmenter.of(plan.spec.translation, plan.folder, work.translations)
