"""The language that a text is in, by its script and by py3langid.

A script that only one of py3langid's languages is written in decides: Thai, Lao, Khmer, Burmese,
Tamil. The rest is py3langid's: it tells Vietnamese and Chinese well; Indonesian, Malay and Filipino
it confuses with each other. Here they are one group of low confidence, so that each passes for the
others, and the report says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ggez_hub.data.example import UNKNOWN, Example
from ggez_hub.data.extras import require
from ggez_hub.data.region.base import BadRule, Verdict
from ggez_hub.data.region.script import script_of_language, scripts

GROUP = frozenset({"id", "ms", "fil"})
GROUP_NOTE = (
    "Indonesian, Malay and Filipino are identified with low confidence: where one of them was "
    "asked for, a text identified as another of them was accepted."
)
# py3langid's labels that CLDR calls otherwise.
LABELS = {"tl": "fil"}
LOOKED_AT = 1000
# The share of the letters from which a script decides.
CLEAR = 0.9
# Anything behind the blocks of Latin letters, Vietnamese ones included.
BEYOND_LATIN = re.compile("[\u0370-\u1dff\u1f00-\U0010ffff]")


@cache
def identifier() -> Any:
    """py3langid's model with confidences from 0 to 1; read once in a process."""
    require("py3langid")
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@cache
def lone_scripts() -> dict[str, str]:
    """The scripts that are those of one language alone, and that language."""
    written: dict[str, set[str]] = {}
    for label in identifier().labels:
        # zxx is no language.
        if label != "zxx":
            written.setdefault(script_of_language(label), set()).add(LABELS.get(label, label))
    return {script: found.pop() for script, found in written.items() if len(found) == 1}


def identify(text: str) -> tuple[str, float]:
    """The language of a text (BCP 47) and the confidence in it, 0 to 1."""
    if BEYOND_LATIN.search(text):
        letters = scripts(text)
        if letters:
            script = max(letters, key=letters.__getitem__)
            part = letters[script] / sum(letters.values())
            if part >= CLEAR and script in lone_scripts():
                return lone_scripts()[script], part
    label, confidence = identifier().classify(text[:LOOKED_AT])
    return LABELS.get(label, label), confidence


def group_confidence(text: str) -> float:
    """The confidence that a text is in one of the group's languages, 0 to 1."""
    ranked = identifier().rank(text[:LOOKED_AT])
    return float(sum(share for label, share in ranked if LABELS.get(label, label) in GROUP))


@dataclass(frozen=True)
class Identified:
    """The text is in one of the languages, with enough confidence."""

    accepted: frozenset[str]
    least: float
    name: str = "language"

    @classmethod
    def of(cls, languages: Sequence[str], least: float) -> Identified:
        """Raises BadRule for a language that py3langid does not know."""
        known = {LABELS.get(label, label) for label in identifier().labels}
        wanted = {tag.partition("-")[0] for tag in languages}
        if unknown := sorted(wanted - known):
            raise BadRule(
                f"py3langid does not identify {unknown[0]!r}",
                "Leave it out, or take a script or a gazetteer as evidence for it.",
            )
        if wanted & GROUP:
            wanted |= GROUP
        return cls(frozenset(wanted), least)

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
