"""The switch: the base answers prompts in other languages, the adapter (beta 1) those in its own.

A server with the adapter beside the base that goes by a prompt's language does this. It sees only the
text of the prompt, whose language `benchmarks.prompt_language` identified; its answers are those at
beta 0 and at beta 1, so no model is asked again. The same by the data's own labels of language, which
no server has, is an upper bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.outcomes import Cell, Outcomes
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.evaluation.results.header import Header
from ggez_hub.parity.betas import Beta
from ggez_hub.regions import find_region
from ggez_hub.regions.text_language import accepted_languages, switched_languages

BASE, ADAPTER = 0.0, 1.0

# Task -> (n,) whether each question goes to the adapter.
Routes = Mapping[str, NDArray[np.bool_]]
Tags = Sequence[str | None]


class NoSwitch(GgezError):
    """What a switch would answer does not follow from the predictions."""


@dataclass(frozen=True)
class Tally:
    """Prompts of one language, how many went to the adapter, and how many went to the wrong side."""

    prompts: int
    to_adapter: int
    misrouted: int


@dataclass(frozen=True, eq=False)
class Switch:
    """Where the questions of a split should go, and where they do.

    languages  in which the adapter is on (BCP 47)
    labelled   by the data's labels; a question without one goes by the side of its task
    routes     by what the prompts were identified as; None where that was not recorded
    tallies    language by the labels -> its prompts; empty without routes
    no_cue     why the language of a prompt does not show which of the two should answer, or ""
    """

    languages: tuple[str, ...]
    labelled: Routes
    routes: Routes | None
    tallies: Mapping[str, Tally]
    no_cue: str

    @classmethod
    def of(cls, evidence: Evidence, split: str, tasks: Collection[str]) -> Switch:
        """The switch on some tasks; raises NoSwitch unless base and adapter were measured on them."""
        base, adapter = (_at(evidence, beta, split, tasks) for beta in (BASE, ADAPTER))
        if not base or base.keys() != adapter.keys():
            raise NoSwitch("beta 0 and beta 1 were not both measured")
        header = evidence.header
        declared = header.adapters[0].languages if len(header.adapters) == 1 else "unknown"
        found = switched_languages(declared, header.region)
        on = accepted_languages(found)
        sides = {name: header.tasks[name].side for name in base}
        labels = {name: _labels(header, name, base[name]) for name in base}
        labelled = {
            name: np.array([_is_on(tag, on, sides[name]) for tag in tags], bool)
            for name, tags in labels.items()
        }
        identified = {
            name: outcomes.recorded("prompt_languages") for name, outcomes in base.items()
        }
        recorded = not any(None in tags for tags in identified.values())
        routes = {n: np.array([t in on for t in tags], bool) for n, tags in identified.items()}
        return cls(
            found,
            labelled,
            routes if recorded else None,
            _tallies(labels, sides, labelled, routes) if recorded else {},
            _no_cue(header, base, labels, identified, on),
        )


def switched(evidence: Evidence, split: str, routes: Routes) -> Evidence:
    """The same evidence with one model on one split: base and adapter, each on its questions."""
    outcomes = {
        Cell(BASE, name, split): evidence.outcomes[Cell(BASE, name, split)].overlaid(
            evidence.outcomes[Cell(ADAPTER, name, split)], rows
        )
        for name, rows in routes.items()
    }
    return replace(evidence, outcomes=outcomes)


def _at(evidence: Evidence, beta: Beta, split: str, tasks: Collection[str]) -> dict[str, Outcomes]:
    found = evidence.tasks_at(beta, split)
    return {name: outcomes for name, outcomes in found.items() if name in tasks}


def _labels(header: Header, name: str, outcomes: Outcomes) -> Tags:
    """The language of each question as the data say, or their task."""
    record = header.tasks[name].language
    own = outcomes.recorded("languages")
    return [tag or (None if record == "unknown" else record) for tag in own]


def _is_on(tag: str | None, on: Collection[str], side: str) -> bool:
    return side == "regional" if tag is None else not accepted_languages([tag]).isdisjoint(on)


def _tallies(
    labels: Mapping[str, Tags], sides: Mapping[str, str], labelled: Routes, routes: Routes
) -> dict[str, Tally]:
    prompts: Counter[str] = Counter()
    to_adapter: Counter[str] = Counter()
    misrouted: Counter[str] = Counter()
    for name, tags in labels.items():
        rows = zip(tags, labelled[name].tolist(), routes[name].tolist(), strict=True)
        for tag, wanted, taken in rows:
            key = tag or f"unlabelled, {sides[name]} side"
            prompts[key] += 1
            to_adapter[key] += taken
            misrouted[key] += taken != wanted
    return {key: Tally(n, to_adapter[key], misrouted[key]) for key, n in sorted(prompts.items())}


def _no_cue(
    header: Header,
    base: Mapping[str, Outcomes],
    labels: Mapping[str, Tags],
    identified: Mapping[str, Tags],
    on: Collection[str],
) -> str:
    """Why a prompt's language does not show whether it is about the region, or ""."""
    if len(header.adapters) == 1 and header.adapters[0].adapts == ["content"]:
        return "the adapter changes content, not the language of prompts"
    members = find_region(header.region).members
    inside: set[str] = set()
    outside: set[str] = set()
    for name, outcomes in base.items():
        # Where the data do not say it: what most of the task's prompts are identified as.
        usual = Counter(identified[name]).most_common(1)[0][0]
        countries = outcomes.recorded("countries")
        for tag, country in zip(labels[name], countries, strict=True):
            regional = header.tasks[name].side == "regional" or country in members
            if (language := tag or usual) is not None:
                (inside if regional else outside).add(language)
    if shared := sorted(tag for tag in outside if not accepted_languages([tag]).isdisjoint(on)):
        return f"{shared[0]} is a language of the adapter and of items outside the region"
    if shared := sorted(inside & outside):
        return f"items of the region are asked in {shared[0]}, as those outside it are"
    return ""
