"""Evidence in the language of a text, as `ggez_hub.regions.text_language` identifies it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ggez_hub.data.example import UNKNOWN, Example
from ggez_hub.data.region.base import BadRule, Verdict
from ggez_hub.regions.text_language import (
    GROUP,
    accepted_languages,
    group_confidence,
    identified_languages,
    identify,
)

GROUP_NOTE = (
    "Indonesian, Malay and Filipino are identified with low confidence: where one of them was "
    "asked for, a text identified as another of them was accepted."
)


@dataclass(frozen=True)
class Identified:
    """The text is in one of the languages, with enough confidence."""

    accepted: frozenset[str]
    least: float
    name: str = "language"

    @classmethod
    def of(cls, languages: Sequence[str], least: float) -> Identified:
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
