"""The option that a reply chooses, in whatever language it is written.

Where a reply names options (`mentions`) and the words around them (`words`) are known, four things
decide, in this order:

    denied     a word of denial before or after it, a verdict, or a "no" that takes it back
    joined     options that stand together ("A or B", "B. Satay") stand or fall together
    weight     a conclusion outweighs an answer that is announced or heads the reply, and that
               outweighs what is merely named
    one        of the heaviest that are left all have to be the same option

What contradicts itself and what names nothing is not read: it is counted as unparsed, and is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from ggez_hub.evaluation.benchmarks.replies.labels import Mention
from ggez_hub.evaluation.benchmarks.replies.lexicon import (
    Mark,
    after_thought,
    bounded,
    lexicon,
    readable,
)
from ggez_hub.evaluation.benchmarks.replies.mentions import find_mentions
from ggez_hub.evaluation.benchmarks.replies.structure import NEAR, Structure

# Weights: in a question; named; announced, or the head of the reply; concluded.
ASKED, NAMED, ANNOUNCED, CONCLUDED = range(4)
# Of these a reply in JSON has its answer; and those that the languages have for "answer".
KEYS = frozenset(
    {
        "choice",
        "option",
        "selected_option",
        "selection",
        "final_answer",
        "prediction",
        "label",
        "selected",
    }
)
ENVELOPE = re.compile(r"<answer>(.{0,400}?)</answer>|\[\[(.{1,80}?)\]\]", re.DOTALL | re.IGNORECASE)
BOXED = "\\boxed{"


def read_choice(reply: str, options: Sequence[str]) -> int | None:
    """The number of the option that a reply chooses, from 0; None if it cannot be read.

    Of a reply of any length only the beginning and the end are read.
    """
    text = bounded(after_thought(reply) or "")
    for inner in _envelopes(text):
        found = _read(readable(inner), options)
        if found is not None:
            return found
    return _read(readable(text), options)


def _envelopes(text: str) -> Iterator[str]:
    """What a reply marks as its answer: in a box, in JSON, between tags."""
    start = text.rfind(BOXED)
    if start >= 0:
        inner = text[start + len(BOXED) :]
        depth = 1
        for place, sign in enumerate(inner):
            depth += (sign == "{") - (sign == "}")
            if not depth:
                yield inner[:place]
                break
    start = text.find("{")
    if start >= 0 and not text[:start].strip("`json \n\t"):
        try:
            content, _ = json.JSONDecoder().raw_decode(text[start:])
        except (ValueError, RecursionError):
            content = {}
        answers = lexicon().kinds
        for key, value in content.items():
            name = key.strip().casefold()
            if name in KEYS or "answer" in answers.get(name, ()):
                yield str(value)
    found = ENVELOPE.findall(text)
    if found:
        yield "".join(found[-1])


def _read(text: str, options: Sequence[str]) -> int | None:
    return Argument(Structure(find_mentions(text, options))).choice() if text else None


class Argument:
    """The options that a text names: denied, concluded, or neither."""

    def __init__(self, structure: Structure) -> None:
        self._text = structure
        self._mentions, self._marks = structure.mentions, structure.marks
        self._weights = dict.fromkeys(self._mentions, NAMED)
        self._denied: set[Mention] = set()
        self._denies_more = False

    def choice(self) -> int | None:
        if not self._mentions:
            return None
        self._deny()
        self._weigh()
        self._take_back()
        left = [m for m in self._mentions if m not in self._denied]
        heaviest = max((self._weights[m] for m in left), default=ASKED)
        if heaviest == ASKED:
            return None
        groups = {self._text.groups[m][0] for m in left if self._weights[m] == heaviest}
        options = {m.option for m in left if self._text.groups[m][0] in groups}
        if heaviest == NAMED:
            if self._is_open(left[-1].end):
                return None
            options -= self._denied_later(left)
        return options.pop() if len(options) == 1 else None

    def _deny(self) -> None:
        aside = {"oh", "polite", "instead", "no", "yes", "but"}
        for number, mark in enumerate(self._marks):
            before = self._marks[number - 1] if number else None
            is_exclaimed = (
                before is not None
                and "oh" in before.kinds
                and not self._text.text[before.end : mark.start].strip(" ,.")
            )
            if "no" in mark.kinds and (is_exclaimed or self._text.is_clause(mark, aside)):
                found = self._text.before(mark)
                if not found:
                    # "No, it is B" answers what was asked.
                    continue
            elif "wrong" in mark.kinds:
                found = self._text.preceding(mark) or self._text.following(mark)
                if not found and self._text.is_clause(mark, aside | {"beside"}):
                    found = self._text.before(mark)
            elif "after" in mark.kinds:
                found = self._text.preceding(mark)
                if found and "," in self._text.text[found[0].end : found[-1].start]:
                    found = self._text.units[found[-1]]
            elif "before" in mark.kinds:
                # "B isn't", but not "B has no".
                near = 0 if "no" in mark.kinds else NEAR
                found = self._text.following(mark) or self._text.preceding(mark, near)
            else:
                continue
            self._denied |= set(found)
            # "Not sure" alone denies nothing.
            self._denies_more |= not found and "harmless" not in mark.kinds

    def _weigh(self) -> None:
        self._headlines()
        for mark in self._marks:
            if "right" in mark.kinds:
                self._raise(self._text.preceding(mark) or self._announced_by(mark), ANNOUNCED)
            if "so" in mark.kinds:
                self._raise(self._announced_by(mark), CONCLUDED)
            elif "answer" in mark.kinds:
                self._raise(self._announced_by(mark) or self._text.preceding(mark), ANNOUNCED)
        tags = {
            self._text.sentence(m.start)
            for m in self._marks
            if "harmless" in m.kinds and "before" not in m.kinds
        }
        asked = {
            n for n, stop in enumerate(self._text.stops) if self._text.text[stop] == "?"
        } - tags
        for mention in self._mentions:
            if self._text.sentence(mention.start) in asked:
                self._weights[mention] = ASKED
        for mark in self._marks:
            if mark.kinds & {"right", "yes"} and self._is_verdict(mark):
                self._raise(self._text.before(mark), ANNOUNCED)

    def _is_verdict(self, mark: Mark) -> bool:
        """Whether a word is a verdict on what stands before it in its line."""
        found = self._text.before(mark)
        return (
            bool(found)
            and "\n" not in self._text.text[found[-1].end : mark.start]
            and self._text.is_clause(mark, {"polite", "oh", "yes", "right"})
        )

    def _announced_by(self, mark: Mark) -> list[Mention]:
        """The first option that is not denied behind a word, in its sentence or directly in the next."""
        for mention in self._text.behind(mark):
            between = self._text.text[mark.end : mention.start]
            if self._text.sentence(mention.start) != self._text.sentence(mark.start) and any(
                c.isalnum() for c in between
            ):
                return []
            if mention not in self._denied:
                return self._text.groups[mention]
        return []

    def _raise(self, mentions: Sequence[Mention], weight: int) -> None:
        for mention in mentions:
            self._weights[mention] = max(self._weights[mention], weight)

    def _headlines(self) -> None:
        """What the reply begins with is its answer, unless it begins a list of options."""
        first, text = self._mentions[0], self._text.text
        if self._text.lists_several() or any(c.isalnum() for c in text[: first.start]):
            return
        if not self._denied and len({m.option for m in self._mentions}) == self._text.count > 2:
            # All of them are repeated.
            return
        unit = self._text.units[first]
        after = text[unit[-1].end :].lstrip(" '\")]")
        if first.is_headline or not after or after[0] in "\n.,;!。":
            self._raise(self._text.groups[first], ANNOUNCED)

    def _take_back(self) -> None:
        """What stands before "actually" or "I mean" is taken back, if an option follows it."""
        for mark in self._marks:
            if "instead" in mark.kinds:
                after = [m for m in self._mentions if m.start >= mark.end and m not in self._denied]
                if after:
                    heaviest = max(self._weights[m] for m in self._mentions)
                    self._denied |= {m for m in self._mentions if m.start < mark.start}
                    self._raise(self._text.groups[after[0]], heaviest)

    def _denied_later(self, left: Sequence[Mention]) -> set[int]:
        """Options that are denied after they were last named without a denial."""
        last = {m.option: m.start for m in left}
        return {
            m.option
            for m in self._mentions
            if m in self._denied and m.start > last.get(m.option, len(self._text.text))
        }

    def _is_open(self, end: int) -> bool:
        """Whether the text leaves open what it names, or denies something that is not an option."""
        return self._denies_more or any(
            "whether" in mark.kinds or ("unsure" in mark.kinds and mark.start >= end)
            for mark in self._marks
        )
