"""Licences of a result: the union of what base, adapters, data and translator ask.

Licences have no order: none is "the stricter one", so nothing is dropped. The table, licences.yaml,
is reviewed by hand. Only the licences of weights decide whether the weights may be passed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml
from pydantic import Field

from ggez_hub.cards import AdapterCard, CardDocument
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.errors import GgezError
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.registry.file_checks import NotFit
from ggez_hub.registry.resolution import Resolution

TABLE = Path(__file__).with_name("licences.yaml")

Duty: TypeAlias = Literal[
    "attribution",
    "notice",
    "changes",
    "share_alike",
    "source",
    "non_commercial",
    "no_derivatives",
    "use_restrictions",
    "pass_on_terms",
    "naming",
    "limits",
]
# `ancestor`: what a merged model was made from, which takes no part when it is taken as it is.
Role: TypeAlias = Literal["base", "adapter", "ancestor", "data", "translator"]
# Conditions that a licence which has to stay as it is does not admit beside its own.
FURTHER: frozenset[Duty] = frozenset(
    {"non_commercial", "no_derivatives", "use_restrictions", "pass_on_terms", "naming", "limits"}
)


class MayNotPush(GgezError):
    """The licences do not allow that a result is passed on."""


class Licence(FrozenModel, strict=False):
    """A licence of the table: what it asks, with the text at `link`."""

    name: str
    link: str
    asks: tuple[Duty, ...]
    details: dict[Duty, str] = Field(default_factory=dict)
    shares_as: str | None = None
    hub: bool = True


class LicenceTable(FrozenModel, strict=False):
    """licences.yaml."""

    duties: dict[Duty, str]
    licences: dict[str, Licence]
    aliases: dict[str, str]
    models: dict[str, str]


@cache
def table() -> LicenceTable:
    """The table, read once."""
    text = TABLE.read_text(encoding="utf-8")
    return LicenceTable.model_validate(yaml.load(text, Loader=yaml.CSafeLoader))


@dataclass(frozen=True)
class LicenceTerm:
    """A part of a result under a licence, by its id; `unknown` where nobody states it."""

    role: Role
    what: str
    licence: str


@dataclass(frozen=True)
class Requirement:
    """One thing that is asked, and the licences that ask it, with their links."""

    duty: Duty
    text: str
    by: tuple[str, ...]
    links: tuple[str, ...]


@dataclass(frozen=True)
class Obligations:
    """The union of what all parts of a result ask."""

    terms: tuple[LicenceTerm, ...]
    asked: tuple[Requirement, ...]

    @property
    def unknown(self) -> tuple[LicenceTerm, ...]:
        return tuple(term for term in self.terms if term.licence == UNKNOWN)

    @property
    def of_weights(self) -> tuple[str, ...]:
        return tuple(sorted({t.licence for t in self.terms if t.role in ("base", "adapter")}))

    def as_dict(self) -> dict[str, Any]:
        return {
            "terms": [vars(term) for term in self.terms],
            "asked": [vars(requirement) for requirement in self.asked],
            "unknown": [term.what for term in self.unknown],
        }


def obligations(resolution: Resolution, documents: Sequence[CardDocument]) -> Obligations:
    """What a result asks of whoever passes it on; `documents` are the cards of its adapters.

    Raises NotFit for a licence that is not in the table.
    """
    base = resolution.base
    terms: list[LicenceTerm] = []
    if base is not None:
        terms.append(LicenceTerm("base", base.repo, reviewed(base.license, base.repo)))
    for adapter, document in zip(resolution.adapters, documents, strict=True):
        source, card = adapter.source, document.card
        if base is None:
            terms.append(LicenceTerm("ancestor", card.base.repo, UNKNOWN))
        terms.append(LicenceTerm("adapter", source.repo, reviewed(source.license, source.repo)))
        terms += _of_data(card)
    unique = tuple(dict.fromkeys(terms))
    return Obligations(unique, _union(unique))


def may_push(asked: Obligations) -> None:
    """Raise MayNotPush with the reason if the result's weights may not be passed on.

    They may not if a licence of the weights forbids it or is unknown, or if two of them cannot be
    kept together: one that has to remain the licence of the result, and another that asks for more.
    """
    known = table().licences
    way_out = "Publish the adapter and a recipe instead: whoever pulls them merges them."
    licences = asked.of_weights
    if UNKNOWN in licences:
        raise MayNotPush("the licence of a part of the weights is not known", way_out)
    for name in licences:
        if "no_derivatives" in known[name].asks:
            raise MayNotPush(
                f"{known[name].name} does not allow that changed weights are passed on "
                f"({known[name].link})",
                way_out,
            )
    for keeper, other in permutations(licences, 2):
        if known[keeper].shares_as and unsaid(keeper, other):
            raise MayNotPush(
                f"{known[keeper].name} has to remain the licence of the result, and "
                f"{known[other].name} asks for more than it allows ({known[keeper].link}, {known[other].link})",
                way_out,
            )


def unsaid(downstream: str, upstream: str) -> tuple[Duty, ...]:
    """What an upstream licence binds a derived work to, and its downstream licence alone does not say.

    Both are ids of the table. Notices and credits can be kept under any licence.
    """
    if downstream == upstream:
        return ()
    own, other = table().licences[downstream], table().licences[upstream]
    # Forbidden uses, names and limits are those of each agreement: no other one passes them on.
    missing = FURTHER.intersection(other.asks)
    if "non_commercial" in own.asks:
        missing -= {"non_commercial"}
    if other.shares_as and own.shares_as != other.shares_as:
        missing |= {"share_alike"}
    return tuple(duty for duty in table().duties if duty in missing)


def licence_front(licences: Sequence[str]) -> dict[str, str]:
    """The Hub's keys `license`, `license_name` and `license_link` for a result under `licences`."""
    if len(licences) == 1:
        (name,) = licences
        found = table().licences.get(name)
        if found is None or found.hub:
            return {"license": name}
        return {"license": "other", "license_name": name, "license_link": found.link}
    return {
        "license": "other",
        "license_name": " and ".join(licences),
        # The section of the card that lists them all.
        "license_link": "README.md",
    }


def reviewed(name: str, what: str) -> str:
    """The id in the table; raises NotFit."""
    spelled = "-".join(name.strip().lower().split())
    spelled = table().aliases.get(spelled, spelled)
    if spelled != UNKNOWN and spelled not in table().licences:
        near = get_close_matches(spelled, {*table().licences, *table().aliases}, n=2)
        ids = " or ".join(dict.fromkeys(table().aliases.get(found, found) for found in near))
        raise NotFit(
            f"rests on {what}, whose licence {name!r} nobody has reviewed: add what it asks to "
            f"ggez_hub/registry/{TABLE.name}",
            f"Did you mean {ids}?" if ids else "",
        )
    return spelled


def _of_data(card: AdapterCard) -> list[LicenceTerm]:
    filtered = card.data_filter
    if filtered == UNKNOWN:
        return [LicenceTerm("data", "training data", UNKNOWN)]
    terms = [LicenceTerm("data", "training data", UNKNOWN)]
    if filtered.sources != UNKNOWN:
        terms = [LicenceTerm("data", s.repo, reviewed(s.license, s.repo)) for s in filtered.sources]
    repo = filtered.translator.partition("@")[0]
    if repo == UNKNOWN:
        terms.append(LicenceTerm("translator", "translator, if there was one", UNKNOWN))
    elif repo != "none":
        licence = reviewed(table().models.get(repo, UNKNOWN), repo)
        terms.append(LicenceTerm("translator", repo, licence))
    return terms


def _union(terms: Sequence[LicenceTerm]) -> tuple[Requirement, ...]:
    known = table()
    union: dict[tuple[Duty, str], list[Licence]] = {}
    for name in dict.fromkeys(term.licence for term in terms if term.licence != UNKNOWN):
        licence = known.licences[name]
        for duty in licence.asks:
            text = licence.details.get(duty, known.duties[duty])
            union.setdefault((duty, text), []).append(licence)
    order = list(known.duties)
    return tuple(
        Requirement(duty, text, tuple(x.name for x in by), tuple(x.link for x in by))
        for (duty, text), by in sorted(union.items(), key=lambda item: order.index(item[0][0]))
    )
