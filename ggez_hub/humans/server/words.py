"""The page's own words, in the languages of raters: one file each in `words/`.

`reviewed` says whether a speaker has read them; until then the page says that a machine translated
them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from ggez_hub.frozen_model import FrozenModel
from ggez_hub.humans.design import Texts
from ggez_hub.safe_yaml import load_mapping

FOLDER = Path(__file__).parent / "words"
FALLBACK = "en"


class Words(FrozenModel):
    """What the page says, by the place where it says it; braces hold what is filled in."""

    reviewed: bool
    no_invitation: str
    unknown_invitation: str
    continue_: str
    consent: str
    agree: str
    decline: str
    country: str
    choose: str
    languages: str
    other_language: str
    start: str
    instructions: str
    training: str
    training_about: str
    check: str
    careful: str
    well_done: str
    task: str
    picture: str
    answer: str
    place: str
    rank: str
    ties: str
    no_ties: str
    preference: str
    better: str
    tie: str
    both_bad: str
    progress: str
    save: str
    undo: str
    saving: str
    offline: str
    picture_missing: str
    incomplete: str
    done: str
    finished: str
    stop: str
    pseudonym: str
    keys: str
    machine_made: str
    too_many: str
    not_found: str
    failed: str


class Said(NamedTuple):
    """A text, and the language that it is in."""

    text: str
    language: str


class Speech(NamedTuple):
    """The language in which a page speaks, and its words in it."""

    language: str
    words: Words

    def of(self, texts: Texts) -> Said:
        """A text of the study in this language, or in English."""
        language = self.language if self.language in texts else FALLBACK
        return Said(texts[language], language)

    def own(self, text: str) -> Said:
        return Said(text, self.language)


@cache
def languages() -> tuple[str, ...]:
    """The languages in which the page speaks."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def speech(language: str) -> Speech:
    """The page's words for a rater of `language` (BCP 47), in English where there are none."""
    primary = language.partition("-")[0].lower()
    spoken = primary if primary in languages() else FALLBACK
    text = (FOLDER / f"{spoken}.yaml").read_text(encoding="utf-8")
    return Speech(spoken, Words.model_validate(load_mapping(text)))


def preferred(accept_language: str) -> Speech:
    """The words for whoever sends this Accept-Language, before it is known who it is."""
    tags = [tag.partition(";")[0].strip() for tag in accept_language[:1000].split(",")]
    known = (tag for tag in tags if tag.partition("-")[0].lower() in languages())
    return speech(next(known, FALLBACK))
