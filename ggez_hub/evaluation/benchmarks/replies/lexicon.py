"""The words of every language as one expression, and the form in which a reply is read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple, Protocol

from ggez_hub.evaluation.benchmarks.replies.words import LABELS, WORDS

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
        for kind in words.keys() - LABELS:
            for phrase in phrases(words[kind]):
                kinds.setdefault(phrase, set()).add(kind)
        for row in phrases(words.get("letters", ""), folded=False):
            letters |= {label: number for number, label in enumerate(row.split()) if label != "_"}
        for number, spellings in enumerate(words.get("ordinals", "").split(";")):
            ordinals |= dict.fromkeys(phrases(spellings), number)
        ordinals |= dict.fromkeys(phrases(words.get("last", "")), -1)
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


# What models of reasoning write before their answer.
THOUGHT_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
THOUGHT = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
# Of longer replies the beginning and the end are read.
FIRST, LAST = 1_000, 3_000
# Capitals of other scripts that look like Latin ones, which a keyboard of those scripts gives.
ALIKE = str.maketrans("АВСЕНΑΒΕΗ", "ABCEHABEH")
ALONE = re.compile(r"(?<!\w)[АВСЕНΑΒΕΗ](?!\w)")
CIRCLED = {number: f"({number - 0x245F})" for number in range(0x2460, 0x2474)}
QUOTES = str.maketrans(
    {
        **dict.fromkeys('"“”„«»「」『』《》*`$', ""),
        **dict.fromkeys("‘’ʼ", "'"),
        **dict.fromkeys("\u200b\u200d\ufe0f", ""),
    }
)
MARKUP = re.compile(
    r"</?(?:[a-z]\w{1,11}|[bi])>|\\(?:text|mathrm|mathbf|textbf)\b|[{}\\]|^[#>]+|(?<!\w)'|'(?!\w)|(?<!\w)_{1,2}|_{1,2}(?!\w)",
    re.MULTILINE,
)
AROUND = " \t\r\n*_`\"'“”‘’«»「」『』《》<>#\\$.,;:!?。、，．：()[]{}（）【】။۔।"


def after_thought(reply: str) -> str | None:
    """What follows a model's thoughts; None if it was cut off before it answered."""
    end = 0
    for end_of_thought in THOUGHT_END.finditer(reply):
        end = end_of_thought.end()
    text = reply[end:]
    return None if THOUGHT.search(text) else text


def bounded(text: str) -> str:
    """A text, without its middle if it is long."""
    return text if len(text) <= FIRST + LAST else f"{text[:FIRST]}\n{text[-LAST:]}"


def readable(text: str) -> str:
    """A bounded text in one form: NFKC, straight quotes, single spaces, without markup."""
    shown = bounded(unicodedata.normalize("NFKC", bounded(text).translate(CIRCLED)))
    shown = ALONE.sub(lambda letter: letter[0].translate(ALIKE), shown)
    shown = MARKUP.sub(" ", shown.translate(QUOTES))
    return "\n".join(line for line in (" ".join(own.split()) for own in shown.splitlines()) if line)


def plain(text: str) -> str:
    """A text for comparison: one case, single spaces, nothing around it."""
    folded = unicodedata.normalize("NFKC", text).translate(ALIKE).casefold()
    return " ".join(folded.split()).strip(AROUND)
