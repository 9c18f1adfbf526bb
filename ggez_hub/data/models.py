"""The models that a spec asks for, opened before the first part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ggez_hub.data.plan import FilterPlan
from ggez_hub.data.scorers.agreement import read_agreement
from ggez_hub.data.scorers.spec import Scorer, open_scorer
from ggez_hub.data.spec import FilterSpec, LanguageRule, PictureRule
from ggez_hub.data.work_folder import WorkFolder
from ggez_hub.errors import UsageProblem

if TYPE_CHECKING:
    from ggez_hub.data.augmentation import Augmenter
    from ggez_hub.data.picture_rule import PictureRules


@dataclass(frozen=True)
class Models:
    """Scorer, translator and rules on pictures, as far as the spec asks for them.

    `agreement` is that of the scorer with people, or `unmeasured`.
    """

    scorer: Scorer | None = None
    agreement: dict[str, Any] | str = "unmeasured"
    picture_rules: PictureRules | None = None
    translator: Augmenter | None = None


def open_models(plan: FilterPlan, work: WorkFolder) -> Models:
    """Open what the spec asks for; nothing is imported that it does not need.

    Raises UsageProblem for a scorer that may not be used, GgezError for a model that cannot be opened.
    """
    spec = plan.spec
    scorer, agreement = _scorer(plan)
    picture_rules, translator = None, None
    if rules := [rule for rule in spec.keep_region.rules if isinstance(rule, PictureRule)]:
        from ggez_hub.data.picture_rule import PictureRules

        picture_rules = PictureRules.of(rules, spec.region, plan.folder)
    if spec.translation != "none":
        from ggez_hub.data.augmentation import Augmenter

        translator = Augmenter.of(spec.translation, plan.folder, work.translations)
    return Models(scorer, agreement, picture_rules, translator)


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
        raise UsageProblem(
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
