"""Processor hours of a filter by stage, before it runs: rows times rates that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ggez_hub.data.plan import FilterPlan
from ggez_hub.data.spec import LanguageRule, SourceSpec

# Processor seconds for 10,000 rows on one core of a shared x86-64 server, as the stages of `python -m benchmarks scale`
# print them: captions, and JPEG pictures of 800 x 600 with 100 kB.
SOURCE = "docs/scale.md (one core of a shared x86-64 server, `python -m benchmarks scale`)"
RULES, LANGUAGE, NEAR_TEXTS, PICTURES = 0.3, 0.9, 1.6, 45.0
# Beside 1,000 held-out captions, and 60 held-out pictures; it grows with what is held out.
HELD_OUT_TEXTS, HELD_OUT_PICTURES = 4.4, 25.0
# Of texts, and of pictures with texts.
DUPLICATES, KEEPING, WRITING = (0.4, 1.3), (0.1, 2.0), (0.1, 5.0)
# Where it is not known how many rows there are.
ASSUMED = 1_000_000


@dataclass(frozen=True)
class FilterCost:
    """What a filter takes by the rates of SOURCE, without its models.

    rows        of the sources that are filtered
    is_counted  whether the sources say how many they have; else `rows` is ASSUMED
    stages      processor hours by stage; None where they are not known
    """

    rows: int
    is_counted: bool
    stages: dict[str, float | None]

    @property
    def hours(self) -> float:
        return sum(hours or 0 for hours in self.stages.values())


def cost_of(plan: FilterPlan) -> FilterCost:
    """The cost of a plan. Sources are asked how many rows they have, and not read for that."""
    spec = plan.spec
    counted = _counted(plan, plan.sources[plan.held_out :])
    shown = any(_has_pictures(plan, source) for source in spec.sources)
    rows, pictures = counted or (ASSUMED, ASSUMED * shown)
    texts = rows - pictures

    def of(rates: tuple[float, float]) -> float:
        return texts * rates[0] + pictures * rates[1]

    languages = any(isinstance(rule, LanguageRule) for rule in spec.keep_region.rules)
    screening = rows * (RULES + LANGUAGE * languages) + pictures * PICTURES
    found: dict[str, float | None] = {}
    if spec.held_out is not None:
        held = _counted(plan, plan.sources[: plan.held_out])
        found["holding out"] = held and held[0] * RULES + held[1] * PICTURES
        screening += of((HELD_OUT_TEXTS, HELD_OUT_PICTURES))
    same = spec.duplicates
    if same != "keep" and (same.by == "both" or (same.by == "text" and same.similarity < 1)):
        screening += rows * NEAR_TEXTS
    found["screening"] = screening
    if spec.picture_rules:
        found["deciding"] = None
    if same != "keep":
        found["duplicates"] = of(DUPLICATES)
    if plan.needs_stages:
        asks = spec.reward != "none" or spec.translation != "none"
        found["keeping"] = None if asks else of(KEEPING)
    found["writing"] = of(WRITING)
    hours = {name: None if s is None else s / 10_000 / 3600 for name, s in found.items()}
    return FilterCost(rows, counted is not None, hours)


def _counted(plan: FilterPlan, sources: Sequence[SourceSpec]) -> tuple[int, int] | None:
    """The rows of sources, and those of them that may have a picture; None where one does not say."""
    counts = [plan.readers[plan.sources.index(source)].row_count() for source in sources]
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return None
    shown = (n for n, source in zip(known, sources, strict=True) if _has_pictures(plan, source))
    return sum(known), sum(shown)


def _has_pictures(plan: FilterPlan, source: SourceSpec) -> bool:
    return plan.spec.pictures != "ignored" and source.reads.picture is not None
