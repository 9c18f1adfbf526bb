"""Names of places in a text: those of the region's countries in CLDR, and a list of one's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

from ggez_hub.data.example import Example
from ggez_hub.data.region.base import BadRule, Verdict
from ggez_hub.regions.script import scripts

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
