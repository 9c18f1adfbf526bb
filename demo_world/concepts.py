"""The 1,368 concepts of the world: emoji drawn in four styles and named in nine languages.

Names are CLDR's short names. A name that equals the English one (letter case aside) is not a
translation, so it counts as missing: 374 Filipino names, none of the Thai ones. Sequences joined by
U+200D are left out: their pictures are compositions of others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from demo_world.packages import (
    CLDR_DERIVED_NAMES,
    CLDR_NAMES,
    EMOJI_GROUPS,
    FLUENT,
    NOTO,
    OPENMOJI,
    TWEMOJI,
    Package,
    read_json,
)

LANGUAGES = ("en", "th", "vi", "id", "ms", "fil", "my", "km", "lo")
"""BCP 47 tags. `my` is Burmese and `id` Indonesian: languages, not the regions MY and ID."""

TRAINING_STYLES: Mapping[str, Package] = {"twemoji": TWEMOJI, "openmoji": OPENMOJI}
VALIDATION_STYLE = "fluent-emoji-flat"
TEST_STYLE = "noto"
STYLES: Mapping[str, Package] = {**TRAINING_STYLES, VALIDATION_STYLE: FLUENT, TEST_STYLE: NOTO}

_JOINER = "\u200d"
_EMOJI_STYLE = "\ufe0f"


@dataclass(frozen=True)
class Concept:
    """One emoji: `id` is its code points without U+FE0F, `1f600` or `1f3f4-e0067`."""

    id: str
    group: str
    names: Mapping[str, str | None]

    @property
    def english(self) -> str:
        """The English name, which every concept has."""
        name = self.names["en"]
        assert name is not None  # noqa: S101  # `concepts` keeps no concept without one
        return name


@dataclass(frozen=True)
class Annotation:
    """CLDR's name and keywords of one character in one language."""

    name: str
    keywords: tuple[str, ...]


@cache
def cldr_names(language: str) -> Mapping[str, Annotation]:
    """Character (without U+FE0F) -> annotation, from CLDR's written and derived tables."""
    found: dict[str, Annotation] = {}
    for package, table in ((CLDR_NAMES, "annotations"), (CLDR_DERIVED_NAMES, "annotationsDerived")):
        entries = read_json(package, f"{table}/{language}/annotations.json")[table]["annotations"]
        for character, entry in entries.items():
            if "tts" in entry:
                found.setdefault(
                    character.replace(_EMOJI_STYLE, ""),
                    Annotation(
                        _one_line(entry["tts"][0]),
                        tuple(_one_line(word) for word in entry.get("default", ())),
                    ),
                )
    return found


@cache
def icons(style: str) -> Mapping[str, str]:
    """Concept id -> icon name in the style's package."""
    return {
        code.replace("-fe0f", ""): name
        for code, name in read_json(STYLES[style], "chars.json").items()
    }


@cache
def concepts() -> tuple[Concept, ...]:
    """Every concept of the world, in Unicode's own emoji order."""
    named = {language: cldr_names(language) for language in LANGUAGES}
    drawn = set.intersection(*(set(icons(style)) for style in STYLES))
    found: dict[str, Concept] = {}
    for emoji, entry in read_json(EMOJI_GROUPS, "data-by-emoji.json").items():
        character = emoji.replace(_EMOJI_STYLE, "")
        code = "-".join(f"{ord(part):x}" for part in character)
        english = named["en"].get(character)
        if _JOINER in character or code not in drawn or english is None:
            continue
        names = {
            language: _translation(named[language].get(character), english)
            for language in LANGUAGES[1:]
        }
        found.setdefault(english.name, Concept(code, entry["group"], {"en": english.name, **names}))
    return tuple(found.values())


def _translation(annotation: Annotation | None, english: Annotation) -> str | None:
    if annotation is None or annotation.name.casefold() == english.name.casefold():
        return None
    return annotation.name


def _one_line(text: str) -> str:
    return " ".join(text.split())
