"""The words of every language as one expression, and where they stand in a text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple, Protocol

from ggez_hub.evaluation.benchmarks.replies.words import KINDS, WORDS

# First and last character of scripts with spaces between words, and whether endings are joined to words.
SCRIPTS = (
    (r"0-9A-Za-z\u00C0-\u024F\u1E00-\u1EFF\u0300-\u036F'", False),
    (r"\u0370-\u03FF", False),
    (r"\u0400-\u04FF", False),
    (r"\u0620-\u065F\u066E-\u06D3", False),
    (r"\u0900-\u0963\u0966-\u0B7F", False),
    (r"\u0B80-\u0DFF", True),
    (r"\uAC00-\uD7AF", True),
    (r"\u1200-\u137F", False),
)
LATIN = SCRIPTS[0][0]


class Span(Protocol):
    """A part of a text."""

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


class Mark(NamedTuple):
    """A word of the lexicon in a text."""

    start: int
    end: int
    kinds: frozenset[str]


class Lexicon(NamedTuple):
    """What `words` has, in the form in which it is looked for.

    kinds      phrase -> its kinds; `^` before those that begin a clause
    letters    label -> number of the option
    ordinals   phrase -> number of the option, -1 for the last
    """

    kinds: dict[str, frozenset[str]]
    letters: dict[str, int]
    ordinals: dict[str, int]
    words: re.Pattern[str]
    labels: re.Pattern[str]
    numbers: re.Pattern[str]


@cache
def lexicon() -> Lexicon:
    """The lexicon of all languages."""
    kinds: dict[str, set[str]] = {}
    letters: dict[str, int] = {}
    ordinals: dict[str, int] = {}
    for words in WORDS.values():
        for kind in KINDS:
            for phrase in phrases(getattr(words, kind)):
                kinds.setdefault(phrase, set()).add(kind)
        for row in phrases(words.letters, folded=False):
            letters |= {label: number for number, label in enumerate(row.split()) if label != "_"}
        for number, spellings in enumerate(words.ordinals.split(";")):
            ordinals |= dict.fromkeys(phrases(spellings), number)
        ordinals |= dict.fromkeys(phrases(words.last), -1)
    return Lexicon(
        {phrase: frozenset(own) for phrase, own in kinds.items()},
        letters,
        ordinals,
        any_of({phrase.removeprefix("^") for phrase in kinds}),
        re.compile("|".join(map(re.escape, sorted(letters, key=len, reverse=True)))),
        any_of(ordinals),
    )


def phrases(text: str, *, folded: bool = True) -> Iterator[str]:
    """The phrases of an entry of `words`, in the form of a text that is read."""
    for phrase in text.split("|"):
        if phrase.strip():
            form = unicodedata.normalize("NFKC", phrase.strip())
            yield lowered(form) if folded else form


def any_of(known: Iterable[str]) -> re.Pattern[str]:
    """An expression for these phrases in a `lowered` text, as words of their own, the longest first."""
    by_edges: dict[tuple[str, str], list[str]] = {}
    for phrase in sorted(known, key=lambda phrase: (-len(phrase), phrase)):
        by_edges.setdefault(_edges(phrase), []).append(re.escape(phrase).replace(r"\ ", r"\s"))
    # With what is asked of the edges outside, an alternative that cannot match costs one comparison.
    return re.compile(
        "|".join(f"{before}(?:{'|'.join(own)}){after}" for (before, after), own in by_edges.items())
    )


def lowered(text: str) -> str:
    """A text in lower case, character by character: places stay what they are."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(low if len(low := c.lower()) == 1 else c for c in text)


def _edges(phrase: str) -> tuple[str, str]:
    """What no longer word of its script may have before and after it."""
    before, after = _script(phrase[0]), _script(phrase[-1])
    return (
        f"(?<![{before[0]}])" if before else "",
        f"(?![{after[0]}])" if after and not after[1] else "",
    )


def marks_in(text: str) -> list[Mark]:
    """The words of the lexicon in a text, in order."""
    known = lexicon()
    found = []
    for match in known.words.finditer(lowered(text)):
        phrase = " ".join(match[0].split())
        kinds = known.kinds.get(phrase, frozenset())
        opening = known.kinds.get(f"^{phrase}")
        if opening and begins_clause(text, match.start()):
            kinds |= opening
        if kinds:
            found.append(Mark(match.start(), match.end(), kinds))
    return found


def begins_clause(text: str, place: int) -> bool:
    """Whether nothing but a sign stands before a place."""
    before = text[max(place - 2, 0) : place].rstrip(" ")[-1:]
    return not before or unicodedata.category(before)[0] in "PSCZ"


def blanked(text: str, spans: Iterable[Span], start: int = 0, sign: str = " ") -> str:
    """A text with spaces, or another sign, in place of these spans; it begins at the place `start`."""
    rest = list(text)
    for span in spans:
        rest[span.start - start : span.end - start] = sign * (span.end - span.start)
    return "".join(rest)


def _script(character: str) -> tuple[str, bool] | None:
    for script in SCRIPTS:
        if re.match(f"[{script[0]}]", character):
            return script
    return None
