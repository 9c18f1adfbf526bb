"""F_rf(x, r): the rules by which an example is of a region, and how they are combined."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from ggez_hub.cards.values import UNKNOWN
from ggez_hub.data.examples import Example
from ggez_hub.data.locale_fields import country_code, country_in_path
from ggez_hub.data.model_folders import model_folder
from ggez_hub.data.pictures import with_pictures
from ggez_hub.data.rows import Row
from ggez_hub.data.scorers.clip_score import Clip, open_clip_like
from ggez_hub.data.spec import (
    FilterSpec,
    GazetteerRule,
    LanguageRule,
    MetadataRule,
    PictureRule,
    RegionFilter,
    ScriptRule,
)
from ggez_hub.data.tally import Tally
from ggez_hub.errors import UsageProblem
from ggez_hub.quantities import counted
from ggez_hub.regions import find_region, known_region
from ggez_hub.regions.cldr import supplement
from ggez_hub.regions.names import language_name, territory_name
from ggez_hub.regions.text_language import (
    GROUP,
    accepted_languages,
    group_confidence,
    identified_languages,
    identify,
    scripts,
    share,
)

HOLDS = "holds"
# Shorter names are words of many languages.
SHORTEST = 3
# Scripts that put no space between words: a name is looked for anywhere in the text.
UNSPACED = frozenset({"Thai", "Laoo", "Khmr", "Mymr", "Hani", "Hira", "Kana"})
WORD = re.compile(r"\w+")
GROUP_NOTE = (
    "Indonesian, Malay and Filipino are identified with low confidence: where one of them was "
    "asked for, a text identified as another of them was accepted."
)

Check: TypeAlias = Callable[[Example], str | None]
"""Applies a rule: None if it holds, else the reason. Reasons are few: they are counted."""


@dataclass(frozen=True)
class RuleCombination:
    """`needed` of the rules have to hold; `pending` rules are decided later.

    `checks` are (name, check) of each rule. `seen` counts by name how often a rule held, and why it
    did not. Rules that cannot change the answer any more are not asked, and not counted.
    """

    checks: tuple[tuple[str, Check], ...]
    needed: int
    pending: int = 0
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __call__(self, example: Example) -> tuple[bool | None, str, int]:
        """(the answer, the reason of a no, how many held); the answer is None while it is open."""
        held = 0
        undecided = total = len(self.checks) + self.pending
        reasons: list[str] = []
        for name, check in self.checks:
            reason = check(example)
            undecided -= 1
            self.seen[name, HOLDS if reason is None else reason] += 1
            if reason is None:
                held += 1
                if held >= self.needed:
                    return True, "", held
            else:
                reasons.append(f"{name}: {reason}")
                if held + undecided < self.needed:
                    break
        if not reasons:
            reason = ""
        elif self.needed == total:
            reason = reasons[-1]
        else:
            reason = f"fewer than {self.needed} of {counted(total, 'rule holds', 'rules hold')}"
        return (False if held + undecided < self.needed else None), reason, held


def combination(spec: RegionFilter, region: str, folder: Path) -> RuleCombination:
    """The rules of a spec whose relative paths start from `folder`.

    Rules on pictures need a model: they are left pending here and decided later. Raises UsageProblem
    for a language or a file that is not there.
    """
    members = find_region(region).members
    makers: dict[str, Callable[[Any], Check]] = {
        "metadata": lambda rule: _metadata(rule, frozenset(members)),
        "language": _language,
        "script": _script,
        "gazetteer": lambda rule: _gazetteer(rule, members, folder),
    }
    checks = tuple((r.evidence, makers[r.evidence](r)) for r in spec.rules if r.evidence in makers)
    return RuleCombination(checks, spec.needed, pending=len(spec.rules) - len(checks))


def _metadata(rule: MetadataRule, members: frozenset[str]) -> Check:
    """The first of the fields that names a country decides."""

    def check(example: Example) -> str | None:
        for name in rule.fields:
            if (country := _country(example, name)) is not None:
                return None if country in members else "another country"
        return "no country is given"

    return check


def _country(example: Example, name: str) -> str | None:
    if name == "country":
        return None if example.country == UNKNOWN else example.country
    if name == "location":
        return country_code(example.location) if example.location else None
    return country_in_path(example.path) if example.path else None


def _language(rule: LanguageRule) -> Check:
    """An example whose source does not give its language gets the one that was identified."""
    wanted = {tag.partition("-")[0] for tag in rule.languages}
    if unknown := sorted(wanted - identified_languages()):
        raise UsageProblem(
            f"py3langid does not identify {unknown[0]!r}",
            "Leave it out, or take a script or a gazetteer as evidence for it.",
        )
    accepted = accepted_languages(wanted)

    def check(example: Example) -> str | None:
        language, confidence = identify(example.text)
        if language in GROUP and confidence < rule.confidence:
            # The three share what belongs to their group.
            confidence = group_confidence(example.text)
        if confidence < rule.confidence:
            return "low confidence"
        if example.language == UNKNOWN:
            example.language = language
        return None if language in accepted else "another language"

    return check


def _script(rule: ScriptRule) -> Check:
    return lambda example: (
        None if share(example.text, rule.scripts) >= rule.share else "another script"
    )


def _gazetteer(rule: GazetteerRule, members: Iterable[str], folder: Path) -> Check:
    """The text contains a name of a country, a language or the file of places, whatever its case."""
    names = {territory_name(m.upper(), tag) for m in members for tag in rule.names_in}
    names |= {language_name(tag) for tag in rule.languages}
    names |= set(_listed(folder / rule.places)) if rule.places else set()
    # Names as tuples of words, by their first word; and names in scripts without spaces.
    phrases: dict[str, list[tuple[str, ...]]] = {}
    strings = []
    for name in sorted(name for name in names if name and len(name) >= SHORTEST):
        folded = normalize("NFC", name).casefold()
        if UNSPACED & set(scripts(folded)):
            strings.append(folded)
        elif words := tuple(WORD.findall(folded)):
            phrases.setdefault(words[0], []).append(words)

    def check(example: Example) -> str | None:
        text = normalize("NFC", example.text).casefold()
        if not text.isascii() and any(name in text for name in strings):
            return None
        words = WORD.findall(text)
        for start, word in enumerate(words):
            for phrase in phrases.get(word, ()):
                if tuple(words[start : start + len(phrase)]) == phrase:
                    return None
        return "no place is named"

    return check


def _listed(path: Path) -> list[str]:
    """The names of a file, one on each line; # begins a remark."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"the list of places cannot be read: {error}") from error
    return [name for line in lines if (name := line.partition("#")[0].strip())]


@dataclass(frozen=True, eq=False)
class CountryClassifier:
    """A model with a prompt for each country; `members` are those of the region."""

    clip: Clip
    prompts: NDArray[np.float32]
    members: NDArray[np.bool_]
    threshold: float

    @classmethod
    def of(cls, rule: PictureRule, region: str, base: Path) -> CountryClassifier:
        """Open the model of a rule; raises UsageProblem for a name that is not a country's."""
        members = find_region(region).members
        countries = sorted(_countries(rule) | set(members))
        found = model_folder(rule.model, rule.revision, base, rule.library)
        clip = open_clip_like(found.path, rule.library, rule.device, rule.batch)
        prompts = [rule.prompt.replace("{country}", find_region(c).name) for c in countries]
        at_home = np.array([code in members for code in countries])
        return cls(clip, clip.texts(prompts), at_home, rule.threshold)

    def verdicts(self, rows: Sequence[Row], tally: Tally) -> list[bool]:
        """Whether the members' share of the softmax over countries is large enough for each row.

        It is not for a row without a picture, which is not counted.
        """
        found = [False] * len(rows)
        places, pictures = with_pictures(rows)
        if places:
            logits = self.clip.scale * self.clip.pictures(pictures) @ self.prompts.T
            weights = np.exp(logits - logits.max(axis=1, keepdims=True))
            shares = weights[:, self.members].sum(axis=1) / weights.sum(axis=1)
            for place, holds in zip(places, (shares >= self.threshold).tolist(), strict=True):
                found[place] = holds
                tally.evidence["picture", HOLDS if holds else "another country"] += 1
        return found


def picture_rules(spec: FilterSpec, base: Path) -> list[CountryClassifier]:
    """The rules on pictures of a spec, with their models open."""
    return [CountryClassifier.of(rule, spec.region, base) for rule in spec.picture_rules]


def _countries(rule: PictureRule) -> set[str]:
    found = set() if rule.countries else set(supplement().alpha3)
    for name in rule.countries:
        region = known_region(name)
        if region is None or not region.is_country:
            raise UsageProblem(f"{name!r} is not a country", "A picture rule compares countries.")
        found.add(region.id)
    return found
