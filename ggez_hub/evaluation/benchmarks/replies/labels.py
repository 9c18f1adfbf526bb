"""Letters, numbers and ordinals in a text that name options."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ggez_hub.evaluation.benchmarks.replies.lexicon import (
    AROUND,
    LATIN,
    Mark,
    begins_clause,
    blanked,
    lexicon,
    lowered,
)

LETTER = re.compile(rf"(?<!\w\.)(?<![{LATIN}])[A-Za-z](?![{LATIN}])(?!\.\w)")
NUMBER = re.compile(rf"(?<![\d{LATIN}])(?<!\d[.,])\d{{1,2}}(?![\d{LATIN}%])(?![.,:]\d)")
OPENING, CLOSING = "([", ")]"
# What may follow a letter or a number that begins a line, as in "B. Satay".
LISTED = ".):]、,-–—"
# Capitals that are also words.
WORDS_TOO = "AIO"
# Labels of these scripts are syllables of words: they need something that announces them.
SYLLABLES = ("HANGUL", "CJK", "KATAKANA", "HIRAGANA")
# Signs and words between a label and what announces it.
BETWEEN = " :([-–=.'\n"
HOPS = 4
# Words that may stand before a yes or no that is the answer.
BY_ANSWERS = {"beside", "either", "both", "yes", "no"}

Kind = Literal["letter", "number", "order", "text"]


@dataclass(frozen=True, eq=False)
class Mention:
    """An option that is named at a place of a text.

    is_headline  it is a label as in a list, at the beginning of a line
    """

    start: int
    end: int
    option: int
    kind: Kind
    is_headline: bool = False


@dataclass
class Labels:
    """The letters, numbers and ordinals in a text that name options."""

    text: str
    marks: Sequence[Mark]
    count: int
    has_numbers: bool

    def __post_init__(self) -> None:
        self._ends = {mark.end: mark for mark in self.marks}
        self._starts = {mark.start: mark for mark in self.marks}

    def labels(self) -> Iterator[Mention]:
        """Those that were shown, in no order."""
        for match in LETTER.finditer(self.text):
            yield from self._letter(match.start(), match.end())
        for match in lexicon().labels.finditer(self.text):
            yield from self._native(match.start(), match.end())
        for match in NUMBER.finditer(self.text):
            yield from self._number(match.start(), match.end())
        for match in lexicon().numbers.finditer(lowered(self.text)):
            yield from self._order(match.start(), match.end())

    def _letter(self, start: int, end: int) -> Iterator[Mention]:
        letter = self.text[start:end]
        number = ord(letter.upper()) - ord("A")
        headline, announced = self._is_headline(start, end), self._is_announced(start)
        certain = self._is_certain(start, end)
        if letter.islower():
            certain = certain or (announced and not self._word_after(end))
        elif not certain:
            certain = self._stands_alone(letter, start, end, announced=announced)
        if certain and number < self.count:
            yield Mention(start, end, number, "letter", headline)

    def _stands_alone(self, letter: str, start: int, end: int, *, announced: bool) -> bool:
        """Whether a capital is a label: not as in "Vitamin C", "A dish" or "Plan B"."""
        if self._is_joined_to_letter(end):
            return True
        if self._word_before(start):
            return False
        return not self._word_after(end) or (announced and letter not in WORDS_TOO)

    def _is_joined_to_letter(self, end: int) -> bool:
        """Whether "or" and a letter follow: then neither of the two is part of a name."""
        mark = self._starts.get(end + 1)
        return (
            mark is not None
            and bool(mark.kinds & {"either", "both"})
            and LETTER.match(self.text, min(mark.end + 1, len(self.text))) is not None
        )

    def _native(self, start: int, end: int) -> Iterator[Mention]:
        number = lexicon().letters[self.text[start:end]]
        announced = self._is_announced(start)
        # A particle that is joined to the word before it is not a label.
        is_particle = self.text[start:end] in lexicon().kinds
        joined_before = _is_joined(self.text, start - 1, start) and (
            is_particle or start not in self._ends
        )
        joined_after = _is_joined(self.text, end, start) and not (
            end in self._starts and (announced or self._is_first(start))
        )
        if joined_before or joined_after or number >= self.count:
            return
        headline = self._is_headline(start, end)
        is_syllable = unicodedata.name(self.text[start], "").startswith(SYLLABLES)
        if is_syllable and not (announced or self._is_certain(start, end)):
            return
        # As in dates and abbreviations: two with full stops.
        if re.match(r"\.\w", self.text[end : end + 2]) or re.search(
            r"\w\.\Z", self.text[max(start - 2, 0) : start]
        ):
            return
        yield Mention(start, end, number, "letter", headline)

    def _number(self, start: int, end: int) -> Iterator[Mention]:
        number = int(self.text[start:end]) - 1
        if not 0 <= number < self.count:
            return
        headline, announced = self._is_headline(start, end), self._is_announced(start)
        following = self._starts.get(end)
        counted = following is not None and "counters" in following.kinds
        if self.has_numbers:
            certain = self._is_announced(start, "option")
        else:
            certain = announced or counted or self._is_certain(start, end)
        if certain:
            yield Mention(start, end, number, "number", headline and not self.has_numbers)

    def _order(self, start: int, end: int) -> Iterator[Mention]:
        phrase = " ".join(lowered(self.text[start:end]).split())
        number = lexicon().ordinals[phrase]
        number = self.count - 1 if number < 0 else number
        nouns = ("answer", "option")
        if number < self.count and (
            self._is_announced(start, *nouns)
            or self._leads_to(end, nouns)
            or self._is_whole(start, end)
        ):
            yield Mention(start, end, number, "order")

    def is_answer(self, start: int, end: int) -> bool:
        """Whether a word stands by itself, begins the text, or is announced."""
        first = start
        while (
            mark := self._ends.get(len(self.text[:first].rstrip(" ")))
        ) and mark.kinds & BY_ANSWERS:
            first = mark.start
        alone = begins_clause(self.text, first) and not self.text[end : end + 1].strip(AROUND)
        return alone or self._is_first(start) or self._is_announced(start)

    def _is_first(self, start: int) -> bool:
        return not self.text[:start].strip(BETWEEN)

    def _is_headline(self, start: int, end: int) -> bool:
        line = self.text.rfind("\n", 0, start) + 1
        before = self.text[line:start].strip(" -•·*")
        bracketed = bool(before) and before in OPENING
        if before and not bracketed:
            return False
        after = self.text[end : end + 1]
        return (
            after in ("", "\n")
            or after in (CLOSING if bracketed else LISTED)
            or (self.text[end : end + 2] in (" -", " –", " —", " :"))
        )

    def _is_certain(self, start: int, end: int) -> bool:
        """Whether it is a label whatever surrounds it."""
        return (
            self._is_headline(start, end)
            or self._is_bracketed(start, end)
            or self._is_whole(start, end)
        )

    def _is_bracketed(self, start: int, end: int) -> bool:
        return self.text[start - 1 : start] in tuple(OPENING) and self.text[end : end + 1] in tuple(
            CLOSING
        )

    def _is_whole(self, start: int, end: int) -> bool:
        """Whether there is nothing else in the text but words that go with an answer."""
        if end - start == len(self.text.strip(AROUND)):
            return True
        if len(self.text) > 80:
            return False
        kinds = {"answer", "option", "beside", "polite", "counters", "so"}
        words = [mark for mark in self.marks if mark.kinds & kinds]
        rest = blanked(self.text, [*words, Mark(start, end, frozenset())])
        return not any(c.isalnum() or c == "\0" or unicodedata.category(c)[0] == "M" for c in rest)

    def _is_announced(self, start: int, *kinds: str) -> bool:
        """Whether such a word stands before it, with nothing but signs and "is" between."""
        place, wanted = start, set(kinds or ("answer", "option", "so", "right"))
        for _ in range(HOPS):
            place = len(self.text[:place].rstrip(BETWEEN))
            mark = self._ends.get(place)
            if mark is None or mark.kinds & wanted or "beside" not in mark.kinds:
                return mark is not None and bool(mark.kinds & wanted)
            place = mark.start
        return False

    def _leads_to(self, end: int, kinds: Sequence[str]) -> bool:
        place = end
        for _ in range(HOPS):
            mark = self._starts.get(self._skip_spaces(place))
            if mark is None or mark.kinds & set(kinds) or "beside" not in mark.kinds:
                return mark is not None and bool(mark.kinds & set(kinds))
            place = mark.end
        return False

    def _skip_spaces(self, place: int) -> int:
        while self.text[place : place + 1] == " ":
            place += 1
        return place

    def _word_before(self, start: int) -> bool:
        """Whether a Latin word that is not in the lexicon stands directly before it."""
        before = self.text[:start].rstrip(" ([")
        return bool(re.search(rf"[{LATIN}]\Z", before)) and len(before) not in self._ends

    def _word_after(self, end: int) -> bool:
        """Whether a Latin word that is not in the lexicon follows it directly."""
        place = self._skip_spaces(end)
        return (
            bool(re.match(f"[{LATIN}]", self.text[place : place + 1])) and place not in self._starts
        )


def _is_joined(text: str, place: int, start: int) -> bool:
    """Whether the character at a place continues the label that begins at `start`."""
    if not 0 <= place < len(text):
        return False
    own, other = unicodedata.name(text[start], "").split(" ")[0], text[place]
    category = unicodedata.category(other)
    return category.startswith("M") or (
        category.startswith("L") and unicodedata.name(other, "").split(" ")[0] == own
    )
