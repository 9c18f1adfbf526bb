"""The prose of the demo world's cards: figures first, then every caveat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

from ggez_hub.cards import AdapterCard
from ggez_hub.cards.curve import SPLITS, MeasuredCurve, Split
from ggez_hub.demo.questions import DemoAnswers, FamilyQuestions
from ggez_hub.demo.world import EVIDENCE, DemoFamily, FamilyFolders
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.answers.scores import parity_difference
from ggez_hub.parity.beta_choice import select_beta
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.intervals import Interval, estimate_grp, estimate_score
from ggez_hub.parity.moments import GLOBAL, REGIONAL
from ggez_hub.parity.policy_outcomes import policy_outcomes
from ggez_hub.parity.seeds import seed_summary
from ggez_hub.regions import Region, find_region

CAVEAT = "It is a demonstration of ggez-hub, trained in minutes on two processor cores, and of no other use."


@dataclass(frozen=True, eq=False)
class CardContext:
    """What the prose of an adapter's card is made from.

    seeds  seed -> the curve of models that were trained with it; the published one's is the card's
    """

    place: FamilyFolders
    card: AdapterCard
    record: Mapping[str, Any]
    answered: DemoAnswers
    seeds: Mapping[int, MeasuredCurve]

    @property
    def region(self) -> Region:
        """Whose adapter it is."""
        return find_region(self.card.region)

    @cached_property
    def chosen(self) -> float:
        """The beta that validation chooses."""
        return self.choose(self.card.measured)

    @property
    def betas(self) -> tuple[float, ...]:
        """Base, merge and unmerged adapter."""
        return tuple(sorted({0.0, self.chosen, 1.0}))

    def choose(self, measured: MeasuredCurve | None) -> float:
        """The beta of the highest GRP on validation."""
        return select_beta(measured, self.card.alpha.value, self.region.id).beta

    def curve(self, measured: MeasuredCurve | None, split: Split) -> ParityCurve:
        """A curve for the adapter's region."""
        return ParityCurve.of(measured, split, self.region.id)


@dataclass(frozen=True)
class FamilyText:
    """The prose of a family's cards.

    questions   how its models are asked
    card        an adapter's card but for what is measured, from its folder
    base        the base's card below its front matter, from its training record
    intro       what an adapter is, in a sentence
    scores      what its scores are, for the heading of their tables
    control     (task, beta) -> how far a model is ahead of itself where it cannot know
    controlled  what was done there, to go on after "ahead of itself "
    more        further sections
    caveats     of the family
    """

    questions: FamilyQuestions
    card: Callable[[FamilyFolders, str], AdapterCard]
    base: Callable[[Mapping[str, Any]], str]
    intro: Callable[[CardContext], str]
    scores: str
    control: Callable[[CardContext], Mapping[Cell, Interval]]
    controlled: str
    more: Callable[[CardContext], Sequence[str]]
    caveats: Sequence[str]


def text_of_family(part: DemoFamily) -> FamilyText:
    """The words of a family."""
    words: FamilyText = import_module(f"demo_world.{part.family}.card_text").WORDS
    return words


def listed(caveats: Iterable[str]) -> str:
    """The caveats as a section."""
    return "## Caveats\n\n" + "\n".join(f"- {caveat}" for caveat in (*caveats, CAVEAT)) + "\n"


def shares_of(record: Mapping[str, Any]) -> str:
    """The share of each language, in words."""
    return ", ".join(f"{k} {100 * v:g} %" for k, v in record["share_per_language"].items())


def made_of(record: Mapping[str, Any], family: str) -> str:
    """What went into a base, as a section."""
    sources = "\n".join(
        f"- {s['for']}: {s.get('package', s.get('name', ''))} ({s['license']}; {s['credit']})"
        for s in record["sources"]
    )
    return f"""\
## Made of

{sources}

`training.json` holds seed and settings. `python -m demo_world build --family {family}` builds it from the published packages."""


def adapter_prose(words: FamilyText, context: CardContext) -> str:
    """An adapter's card below its front matter."""
    tables = {split: context.curve(context.card.measured, split) for split in reversed(SPLITS)}
    parts = [
        f"# {context.place.part.name}-{context.region.id}",
        words.intro(context),
        *(_grid(words, context, seen, split) for split, seen in tables.items()),
        f"{_verdict(tables['test'], context)} {_leads(context)}",
        _policies(context),
        _control(words, context),
        *words.more(context),
        _seeds(context),
        f"`{EVIDENCE}` holds every answer; all scores follow from it.",
        listed(words.caveats).rstrip(),
    ]
    return "\n\n".join(parts) + "\n"


def shown(lead: Interval) -> str:
    """A figure in points with its interval."""
    return f"{lead.value:.1f} [{lead.low:.1f}, {lead.high:.1f}]"


def _grid(words: FamilyText, context: CardContext, curve: ParityCurve, split: str) -> str:
    rows = "\n".join(
        f"| {beta:g}{' (chosen on validation)' if beta == context.chosen else ''} | "
        + _figures(curve, index, context.card.alpha.value)
        + " |"
        for index, beta in enumerate(curve.betas)
    )
    return f"""\
## Scores on {split}

{words.scores} In %, with 95 % intervals over {curve.moments.pictures[REGIONAL]} pictures. GRP on scores above chance: a *demo
parity* of English names (global) and regional names.

| beta | English names | regional names | GRP |
|---|---|---|---|
{rows}"""


def _verdict(curve: ParityCurve, context: CardContext) -> str:
    """Which of base, merge and unmerged adapter has the highest GRP on test."""
    chosen = context.chosen
    models = {
        "the base": 0.0,
        f"the merge at the chosen beta {chosen:g}": chosen,
        "the unmerged adapter": 1.0,
    }
    found = {
        name: curve.grp(index, context.card.alpha.value)
        for name, beta in models.items()
        if (index := curve.index(beta)) is not None
    }
    best = max(found, key=lambda name: found[name])
    return (
        f"Of base, merge and unmerged adapter, {best} has the highest GRP on test "
        f"({found[best]:.2f})."
    )


def _policies(context: CardContext) -> str:
    """What each policy chooses on validation, with what that keeps and gains on test."""
    outcomes = policy_outcomes(
        lambda split: context.curve(context.card.measured, split), context.card.alpha.value
    )
    lines = "\n".join(f"- {outcome.line()}" for outcome in outcomes)
    return f"By policy, chosen on validation:\n\n{lines}"


def _leads(context: CardContext) -> str:
    """How far the merge is ahead in parity, item by item."""
    answered, alpha = context.answered, context.card.alpha.value
    merged = answered.sides(context.chosen)
    leads = [
        f"{shown(parity_difference(merged, answered.sides(beta), alpha))} points ahead of {name}"
        for name, beta in (("the base", 0.0), ("the unmerged adapter", 1.0))
        if beta != context.chosen
    ]
    return f"In GRP the merge is {' and '.join(leads)}, paired by picture, with 95 % intervals."


def _control(words: FamilyText, context: CardContext) -> str:
    found = words.control(context)
    rows = "\n".join(
        f"| {cell.task} | {cell.beta:g} | {shown(lead)} |"
        for cell, lead in sorted(found.items(), key=lambda entry: (entry[0].task, entry[0].beta))
    )
    which = "Every" if all(lead.low > 0 for lead in found.values()) else "Not every"
    return f"""\
## Control

How far the model is ahead of itself {words.controlled}, in points on test: 95 % intervals of the paired difference.
{which} interval excludes 0.

| task | beta | lead |
|---|---|---|
{rows}"""


def _seeds(context: CardContext) -> str:
    if len(context.seeds) < 2:
        return "## Seeds\n\nOne seed. How far another would be from it was not measured."
    rows = []
    for seed, curve in sorted(context.seeds.items()):
        chosen, seen = context.choose(curve), context.curve(curve, "test")
        models = {0.0: ["base"], 1.0: ["unmerged adapter"]}
        models.setdefault(chosen, []).append("merge")
        for beta, names in sorted(models.items()):
            if (index := seen.index(beta)) is not None:
                figures = _figures(seen, index, context.card.alpha.value)
                rows.append(f"| {seed} | {beta:g} ({', '.join(names)}) | {figures} |")
    table = "\n".join(rows)
    return f"""\
## Seeds

Base and adapter trained with each of {len(context.seeds)} seeds; seed {context.record["seed"]} is the one published. Scores on test in %, with
95 % intervals; the beta of each merge is chosen on the validation scores of its own seed. GRP of another seed has no interval: what
the errors of its sides share was not kept.

| seed | beta | English names | regional names | GRP |
|---|---|---|---|---|
{table}

{at_one_beta(context)}"""


def at_one_beta(context: CardContext) -> str:
    """All seeds at the beta of the published merge, and those whose answers are lost."""
    curve = context.curve(context.card.measured, "test")
    found = seed_summary(context.card, curve, "test", context.chosen, context.card.alpha.value)
    lines = [f"- {line}" for line in found.lines()] if found else []
    unknown = [str(run.seed) for run in context.card.seeds if run.predictions == "unknown"]
    if unknown:
        lines.append(
            f"- The answers of seed {' and '.join(unknown)} were not kept: only their scores are known."
        )
    return "At the beta of the published merge, above chance:\n\n" + "\n".join(lines)


def _figures(curve: ParityCurve, index: int, alpha: float) -> str:
    """Both sides and GRP, the latter with an interval where it is known what the sides share."""
    sides = (estimate_score(curve.moments, side, index) for side in (GLOBAL, REGIONAL))
    shown_sides = map(_shown, sides)
    parity = estimate_grp(curve.moments, alpha, index)
    return " | ".join([*shown_sides, _shown(parity) if curve.is_joint else f"{parity.value:.1f}"])


def _shown(found: Interval) -> str:
    return f"{found.value:.1f} [{found.low:.1f}, {found.high:.1f}]"
