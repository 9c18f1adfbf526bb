"""Where a reply names options: by letter, by number, by their order, or by their text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ggez_hub.evaluation.benchmarks.replies.labels import Labels, Mention
from ggez_hub.evaluation.benchmarks.replies.lexicon import (
    AROUND,
    Mark,
    any_of,
    blanked,
    lexicon,
    lowered,
    marks_in,
    readable,
)

ARTICLES = re.compile(r"(?:an?|the|el|la|los|las|un|una|le|les|der|die|das)\s+", re.IGNORECASE)
# A shorter text stands within other words of scripts without spaces between words.
LEAST = 2


@dataclass
class Named:
    """A text with which of `count` options it names and the words around them, both in order."""

    text: str
    count: int
    mentions: list[Mention] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


def find_mentions(text: str, options: Sequence[str]) -> Named:
    """The options that a readable text names."""
    wanted = [" ".join(lowered(readable(option)).split()).strip(AROUND) for option in options]
    particles = _particles(wanted)
    if particles:
        marks = marks_in(text)
        texts = _answers(Labels(text, marks, len(options), False), particles)
        marks = _apart(marks, texts)
    else:
        texts = list(_texts(text, wanted))
    # What stands in the text of an option is neither a label nor a word of the language.
    masked = blanked(text, texts, sign="\0")
    if not particles:
        marks = marks_in(masked)
    finder = Labels(masked, marks, len(options), any(c.isdigit() for o in wanted for c in o))
    labels = list(finder.labels())
    mentions = sorted([*texts, *labels], key=lambda mention: mention.start)
    return Named(text, len(options), mentions, _apart(marks, labels))


def _apart(marks: Sequence[Mark], mentions: Sequence[Mention]) -> list[Mark]:
    """The marks that share no character with these mentions."""
    taken = {place for mention in mentions for place in range(mention.start, mention.end)}
    return [mark for mark in marks if taken.isdisjoint(range(mark.start, mark.end))]


def _particles(wanted: Sequence[str]) -> dict[str, int]:
    """yes and no -> the option that says so, where the options are nothing else."""
    kinds = lexicon().kinds
    found: dict[str, int] = {}
    for number, option in enumerate(wanted):
        own = kinds.get(option, frozenset())
        for particle in ("yes", "no"):
            if particle in own:
                found[particle] = number
    return found if len(wanted) == len(found) == 2 else {}


def _answers(finder: Labels, particles: dict[str, int]) -> list[Mention]:
    """The words for yes and no where they are the options: not as in "there is no dome"."""
    return [
        Mention(mark.start, mark.end, number, "text")
        for mark in finder.marks
        for particle, number in particles.items()
        if particle in mark.kinds and finder.is_answer(mark.start, mark.end)
    ]


def _texts(text: str, wanted: Sequence[str]) -> Iterator[Mention]:
    """The texts of options, the longest where one contains another."""
    numbers: dict[str, int] = {}
    for number, option in enumerate(wanted):
        numbers.setdefault(option, number)
    for option, number in list(numbers.items()):
        # "dog" is "a dog", unless it is an option itself.
        article = ARTICLES.match(option)
        numbers.setdefault(option[article.end() :] if article else option, number)
    numbers.pop("", None)
    if not numbers:
        return
    by_text = {lowered(option): number for option, number in numbers.items()}
    for match in any_of(by_text).finditer(lowered(text)):
        option = " ".join(match[0].split())
        following = text[match.end() : match.end() + 1]
        if following and unicodedata.category(following).startswith("M"):
            continue
        if len(option) < LEAST and not option.isdigit() and match[0].strip() != text.strip(AROUND):
            continue
        yield Mention(match.start(), match.end(), by_text[option], "text")
