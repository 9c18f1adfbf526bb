"""What a piece of evidence is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias
from unicodedata import normalize

from ggez_hub.data.examples import UNKNOWN, Example
from ggez_hub.data.locale_fields import country_code, country_in_path
from ggez_hub.data.spec import (
    GazetteerRule,
    LanguageRule,
    MetadataRule,
    RegionFilter,
    ScriptRule,
)
from ggez_hub.errors import UsageProblem
from ggez_hub.regions import find_region
from ggez_hub.regions.text_language import (
    GROUP,
    accepted_languages,
    group_confidence,
    identified_languages,
    identify,
    scripts,
    share,
)

Verdict: TypeAlias = Literal[True] | tuple[Literal[False], str]


class BadRule(UsageProblem):
    """A rule of the spec cannot be applied."""


class RegionRule(Protocol):
    """A stage: True, or (False, reason). Reasons are few: they are counted."""

    @property
    def name(self) -> str:
        """The name in the spec."""
        ...

    def __call__(self, example: Example) -> Verdict:
        """Look at an example."""
        ...


HOLDS = "holds"


@dataclass(frozen=True)
class RuleCombination:
    """`needed` of the evidence has to hold; `pending` rules are decided later.

    `seen` counts, for each piece, how often it held and why it did not. Pieces that cannot change
    the answer any more are not asked: their counts are of the examples that they were asked about.
    """

    evidence: tuple[RegionRule, ...]
    needed: int
    pending: int = 0
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __call__(self, example: Example) -> tuple[bool | None, str, int]:
        """(the answer, the reason of a no, how many held); the answer is None while it is open."""
        held = 0
        open_ = len(self.evidence) + self.pending
        reasons: list[str] = []
        for stage in self.evidence:
            verdict = stage(example)
            open_ -= 1
            if verdict is True:
                held += 1
                self.seen[stage.name, HOLDS] += 1
                if held >= self.needed:
                    return True, "", held
            else:
                reason = verdict[1]
                self.seen[stage.name, reason] += 1
                reasons.append(f"{stage.name}: {reason}")
                if held + open_ < self.needed:
                    return False, self._reason(reasons), held
        return None, self._reason(reasons), held

    def _reason(self, reasons: list[str]) -> str:
        total = len(self.evidence) + self.pending
        if self.needed == total:
            return reasons[-1] if reasons else ""
        if len(reasons) == 1 == total:
            return reasons[0]
        return f"fewer than {self.needed} of {total} rules hold"


@dataclass(frozen=True)
class Metadata:
    """The first of the fields that names a country decides."""

    members: frozenset[str]
    fields: tuple[str, ...]
    name: str = "metadata"

    def __call__(self, example: Example) -> Verdict:
        for name in self.fields:
            country = _country(example, name)
            if country is not None:
                return True if country in self.members else (False, "another country")
        return False, "no country is given"


def _country(example: Example, field: str) -> str | None:
    if field == "country":
        return None if example.country == UNKNOWN else example.country
    if field == "location":
        return country_code(example.location) if example.location else None
    return country_in_path(example.path) if example.path else None


GROUP_NOTE = (
    "Indonesian, Malay and Filipino are identified with low confidence: where one of them was "
    "asked for, a text identified as another of them was accepted."
)


@dataclass(frozen=True)
class LanguageMatch:
    """The text is in one of the languages, with enough confidence."""

    accepted: frozenset[str]
    least: float
    name: str = "language"

    @classmethod
    def of(cls, languages: Sequence[str], least: float) -> LanguageMatch:
        """Raises BadRule for a language that py3langid does not know."""
        wanted = {tag.partition("-")[0] for tag in languages}
        if unknown := sorted(wanted - identified_languages()):
            raise BadRule(
                f"py3langid does not identify {unknown[0]!r}",
                "Leave it out, or take a script or a gazetteer as evidence for it.",
            )
        return cls(accepted_languages(wanted), least)

    def __call__(self, example: Example) -> Verdict:
        """An example whose source does not say its language gets the one that was identified."""
        language, confidence = identify(example.text)
        if language in GROUP and confidence < self.least:
            # The three share what belongs to their group.
            confidence = group_confidence(example.text)
        if confidence < self.least:
            return False, "low confidence"
        if example.language == UNKNOWN:
            example.language = language
        return True if language in self.accepted else (False, "another language")


@dataclass(frozen=True)
class ScriptShare:
    """Enough letters of the text are in one of the scripts."""

    wanted: frozenset[str]
    least: float
    name: str = "script"

    def __call__(self, example: Example) -> Verdict:
        if share(example.text, self.wanted) >= self.least:
            return True
        return False, "another script"


# Shorter names are words of many languages.
SHORTEST = 3
# Scripts that put no space between words: a name is looked for anywhere in the text.
UNSPACED = frozenset({"Thai", "Laoo", "Khmr", "Mymr", "Hani", "Hira", "Kana"})
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Gazetteer:
    """The text contains one of the names; case does not matter.

    `phrases` are names as tuples of words, by their first word; `strings` are names in scripts
    without spaces.
    """

    phrases: dict[str, tuple[tuple[str, ...], ...]]
    strings: tuple[str, ...]
    name: str = "gazetteer"

    @classmethod
    def of(
        cls,
        members: Iterable[str],
        names_in: Sequence[str],
        languages: Sequence[str],
        places: Path | None,
    ) -> Gazetteer:
        """Names of countries, of languages, and those of a file; raises BadRule."""
        from ggez_hub.regions.names import language_name, territory_name

        names = {territory_name(m.upper(), tag) for m in members for tag in names_in}
        names |= {language_name(tag) for tag in languages}
        names |= set(_listed(places)) if places else set()
        phrases: dict[str, list[tuple[str, ...]]] = {}
        strings = []
        for name in sorted(name for name in names if name and len(name) >= SHORTEST):
            folded = normalize("NFC", name).casefold()
            if UNSPACED & set(scripts(folded)):
                strings.append(folded)
                continue
            words = tuple(WORD.findall(folded))
            if words:
                phrases.setdefault(words[0], []).append(words)
        return cls({first: tuple(found) for first, found in phrases.items()}, tuple(strings))

    def __call__(self, example: Example) -> Verdict:
        text = normalize("NFC", example.text).casefold()
        if not text.isascii() and any(name in text for name in self.strings):
            return True
        words = WORD.findall(text)
        for start, word in enumerate(words):
            for phrase in self.phrases.get(word, ()):
                if tuple(words[start : start + len(phrase)]) == phrase:
                    return True
        return False, "no place is named"


def _listed(path: Path) -> list[str]:
    """The names of a file, one on each line; # begins a remark."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRule(f"the list of places cannot be read: {error}") from error
    return [name for line in lines if (name := line.partition("#")[0].strip())]


def combination(spec: RegionFilter, region: str, folder: Path) -> RuleCombination:
    """The rules of a spec, ready; raises BadRule for a language or a file that is not there.

    Rules on pictures need a model: they are left pending here and decided later.
    """
    members = find_region(region).members
    stages: dict[str, Callable[..., RegionRule]] = {
        "metadata": lambda rule: _metadata(rule, members),
        "language": _language,
        "script": _script,
        "gazetteer": lambda rule: _gazetteer(rule, members, folder),
    }
    evidence = tuple(stages[rule.evidence](rule) for rule in spec.rules if rule.evidence in stages)
    return RuleCombination(evidence, spec.needed, pending=len(spec.rules) - len(evidence))


def _metadata(rule: MetadataRule, members: tuple[str, ...]) -> RegionRule:
    return Metadata(frozenset(members), tuple(rule.fields))


def _language(rule: LanguageRule) -> RegionRule:
    return LanguageMatch.of(rule.languages, rule.confidence)


def _script(rule: ScriptRule) -> RegionRule:
    return ScriptShare(frozenset(rule.scripts), rule.share)


def _gazetteer(rule: GazetteerRule, members: tuple[str, ...], folder: Path) -> RegionRule:
    places = folder / rule.places if rule.places else None
    return Gazetteer.of(members, rule.names_in, rule.languages, places)
