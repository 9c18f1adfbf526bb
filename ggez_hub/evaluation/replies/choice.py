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
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from ggez_hub.evaluation.replies.lexicon import Mark, lexicon
from ggez_hub.evaluation.replies.mentions import Mention, Named, find_mentions
from ggez_hub.evaluation.replies.text import after_thought, bounded, readable

# Weights: in a question; named; announced, or the head of the reply; concluded.
ASKED, NAMED, ANNOUNCED, CONCLUDED = range(4)
# A denial reaches back so many letters.
NEAR = 16
STOPS = re.compile(r"[.!?。।॥။]+(?=\s|$|[^\x00-\u024F])|[。।॥။]|\n")
SIGNS = re.compile(r"[,;:،؛၊、៖—…]|\s[-–]\s|\.{2,}|[-=]>")
# Of these a reply in JSON has its answer; and those that the languages have for "answer".
KEYS = frozenset({"choice", "option", "selected_option", "selection", "final_answer", "prediction", "label", "selected"})
# Signs between options that are listed, and between those that are joined by a word.
LISTING, JOINING = " ,/、()[]", " ,/、()[].?"
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
    return Argument(find_mentions(text, options)).choice() if text else None


class Argument:
    """What a text says about the options that it names."""

    def __init__(self, named: Named) -> None:
        self.text, self.mentions, self.marks = named.text, named.mentions, named.marks
        self.weights = {id(m): NAMED for m in self.mentions}
        self.denied: set[int] = set()
        self._denies_more = False
        self._sentences, self._clauses = self._cuts()
        self._places = [m.start for m in self.mentions]
        # Groups that a word joins, not a comma alone.
        self._joined: set[int] = set()
        self._units, self._groups = self._together()

    def choice(self) -> int | None:
        """The option that is chosen, or None."""
        if not self.mentions:
            return None
        self._deny()
        self._weigh()
        self._take_back()
        left = [m for m in self.mentions if id(m) not in self.denied]
        if not left:
            return None
        heaviest = max(self.weights[id(m)] for m in left)
        if heaviest == ASKED:
            return None
        groups = {self._groups[id(m)] for m in left if self.weights[id(m)] == heaviest}
        options = {m.option for m in left if self._groups[id(m)] in groups}
        if heaviest < ANNOUNCED:
            options -= self._denied_later(left)
            if self._is_open(left[-1].end):
                return None
        return options.pop() if len(options) == 1 else None

    def _cuts(self) -> tuple[list[int], list[int]]:
        """Where sentences end, and where clauses do; a full stop behind a label ends neither."""
        labels = {m.end for m in self.mentions if m.kind in ("letter", "number")}
        stops, clauses = [], []
        for match in STOPS.finditer(self.text):
            following = self.text[match.end() : match.end() + 2].strip()
            if match[0] == "." and match.start() in labels and following:
                clauses.append(match.start())
            else:
                stops.append(match.start())
        clauses += [match.start() for match in SIGNS.finditer(self.text)]
        for mark in self.marks:
            if mark.kinds & {"but", "because", "so"}:
                clauses.append(mark.start)
            if "polite" in mark.kinds and not self.text[mark.end : mark.end + 1].strip():
                clauses.append(mark.end)
        return stops, sorted([*clauses, *stops])

    def _sentence(self, place: int) -> int:
        return bisect_right(self._sentences, place)

    def _clause(self, place: int) -> int:
        return bisect_right(self._clauses, place)

    def _together(self) -> tuple[dict[int, int], dict[int, int]]:
        """Of each mention the number of its unit, one option said twice, and of its group.

        A group are units that are joined or listed: "A or B", "A, B", and a letter before the text
        of another option.
        """
        units: dict[int, int] = {}
        groups: dict[int, int] = {}
        unit = group = 0
        marks = iter(self.marks)
        mark = next(marks, None)
        for before, mention in zip([None, *self.mentions], self.mentions, strict=False):
            between: list[Mark] = []
            while mark is not None and mark.start < mention.start:
                if before is not None and mark.start >= before.end:
                    between.append(mark)
                mark = next(marks, None)
            if before is not None:
                same = before.option == mention.option
                gap = self._gap(before.end, mention.start, between, {"beside", "option"} if same else {"either", "both", "beside", "option"})
                joins = any(m.kinds & {"either", "both"} for m in between)
                if same and gap is not None and not set(gap) - set(" .,:()[]-–—'/"):
                    pass
                elif gap is not None and not same and not set(gap) - set(JOINING if joins else LISTING):
                    unit += 1
                    group += not joins and bool(between)
                    self._joined |= {group} if joins else set()
                elif not same and self._clashes(before, mention):
                    unit += 1
                else:
                    unit += 1
                    group += 1
            units[id(mention)], groups[id(mention)] = unit, group
        return units, groups

    def _gap(self, start: int, end: int, marks: Sequence[Mark], kinds: set[str]) -> str | None:
        """The signs between two places; None if there are other words than these."""
        rest = list(self.text[start:end])
        for mark in marks:
            if mark.kinds & kinds:
                rest[mark.start - start : mark.end - start] = " " * (mark.end - mark.start)
        gap = "".join(rest)
        return None if any(c.isalnum() for c in gap) or "\n" in gap else gap

    def _clashes(self, label: Mention, text: Mention) -> bool:
        """Whether a label stands before the text of another option, as in "B. Satay"."""
        between = self.text[label.end : text.start]
        if label.kind == "text" or text.kind != "text" or between.strip(" .):]-–—'") or "\n" in between:
            return False
        return not re.match(r"\s+[a-z]", self.text[text.end : text.end + 2])

    def _of_group(self, mention: Mention) -> list[Mention]:
        """The mentions that stand together with one."""
        place = self._places.index(mention.start)
        group = self._groups[id(mention)]
        first = last = place
        while first and self._groups[id(self.mentions[first - 1])] == group:
            first -= 1
        while last + 1 < len(self.mentions) and self._groups[id(self.mentions[last + 1])] == group:
            last += 1
        return self.mentions[first : last + 1]

    def _of_unit(self, mention: Mention) -> list[Mention]:
        unit = self._units[id(mention)]
        return [m for m in self._of_group(mention) if self._units[id(m)] == unit]

    def _following(self, mark: Mark) -> list[Mention]:
        """The mentions behind a word in its clause, with those that are joined to the last."""
        start = bisect_right(self._places, mark.end - 1)
        clause = self._clause(mark.start)
        found: list[Mention] = []
        for mention in self.mentions[start:]:
            if self._clause(mention.start) != clause:
                break
            found.append(mention)
        if found and self._groups[id(found[-1])] in self._joined:
            found += [m for m in self._of_group(found[-1]) if m.start > found[-1].start]
        return found

    def _preceding(self, mark: Mark, near: int = NEAR) -> list[Mention]:
        """What stands before a word in its clause, if it is near, with what it is joined to."""
        last = bisect_right(self._places, mark.start) - 1
        if last < 0 or self._clause(self.mentions[last].end - 1) != self._clause(mark.start):
            return []
        mention = self.mentions[last]
        if sum(c.isalnum() for c in self.text[mention.end : mark.start]) > near:
            return []
        return self._of_group(mention)

    def _before(self, mark: Mark) -> list[Mention]:
        """The unit that stands before a word, in whatever clause."""
        last = bisect_right(self._places, mark.start) - 1
        return self._of_unit(self.mentions[last]) if last >= 0 else []

    def _is_clause(self, mark: Mark, kinds: set[str]) -> bool:
        """Whether a word is all of its clause, but for words of these kinds."""
        clause = self._clause(mark.start)
        start = self._clauses[clause - 1] if clause else 0
        end = self._clauses[clause] if clause < len(self._clauses) else len(self.text)
        rest = list(self.text[start:end])
        for other in self._marks_within(start, end):
            if other is mark or other.kinds & kinds:
                rest[other.start - start : other.end - start] = " " * (other.end - other.start)
        return not any(c.isalnum() or c == "\0" for c in rest)

    def _marks_within(self, start: int, end: int) -> list[Mark]:
        first = bisect_right(self.marks, start - 1, key=lambda mark: mark.start)
        last = bisect_right(self.marks, end - 1, key=lambda mark: mark.start)
        return self.marks[first:last]

    def _deny(self) -> None:
        """Find what is denied."""
        aside = {"oh", "polite", "instead", "no", "yes", "but"}
        for number, mark in enumerate(self.marks):
            before = self.marks[number - 1] if number else None
            is_exclaimed = before is not None and "oh" in before.kinds and not self.text[before.end : mark.start].strip(" ,.")
            if "no" in mark.kinds and (is_exclaimed or self._is_clause(mark, aside)):
                found = self._before(mark)
            elif "wrong" in mark.kinds:
                found = self._preceding(mark) or self._following(mark)
                if not found and self._is_clause(mark, aside | {"beside"}):
                    found = self._before(mark)
            elif "after" in mark.kinds:
                found = self._preceding(mark)
                if found and "," in self.text[found[0].end : found[-1].start]:
                    found = self._of_unit(found[-1])
            elif "before" in mark.kinds:
                # "B isn't", but not "B has no".
                near = 0 if "no" in mark.kinds else NEAR
                found = self._following(mark) or self._preceding(mark, near)
            else:
                continue
            self.denied |= {id(m) for m in found}
            self._denies_more |= not found

    def _weigh(self) -> None:
        """Find what is announced, concluded, or asked."""
        self._headlines()
        for mark in self.marks:
            if "right" in mark.kinds:
                self._raise(self._preceding(mark) or self._announced_by(mark), ANNOUNCED)
            if "so" in mark.kinds:
                self._raise(self._announced_by(mark), CONCLUDED)
            elif "answer" in mark.kinds:
                self._raise(self._announced_by(mark) or self._preceding(mark), ANNOUNCED)
        tags = {self._sentence(m.start) for m in self.marks if "harmless" in m.kinds}
        asked = {n for n, stop in enumerate(self._sentences) if self.text[stop] == "?"} - tags
        for mention in self.mentions:
            if self._sentence(mention.start) in asked:
                self.weights[id(mention)] = ASKED
        for mark in self.marks:
            if mark.kinds & {"right", "yes"} and self._is_verdict(mark):
                self._raise(self._before(mark), ANNOUNCED)

    def _is_verdict(self, mark: Mark) -> bool:
        """Whether a word is a verdict on what stands before it in its line."""
        found = self._before(mark)
        return bool(found) and "\n" not in self.text[found[-1].end : mark.start] and self._is_clause(
            mark, {"polite", "oh", "yes", "right"}
        )

    def _announced_by(self, mark: Mark) -> list[Mention]:
        """The first option behind a word, in its sentence or directly in the next, that is not denied."""
        start = bisect_right(self._places, mark.end - 1)
        for mention in self.mentions[start:]:
            between = self.text[mark.end : mention.start]
            if self._sentence(mention.start) != self._sentence(mark.start) and any(c.isalnum() for c in between):
                return []
            if id(mention) not in self.denied:
                return self._of_group(mention)
        return []

    def _raise(self, mentions: Sequence[Mention], weight: int) -> None:
        for mention in mentions:
            self.weights[id(mention)] = max(self.weights[id(mention)], weight)

    def _headlines(self) -> None:
        """What the reply begins with is its answer, unless other options head other lines."""
        first = self.mentions[0]
        heads = {m.option for m in self.mentions if m.is_headline}
        if len(heads) > 1 or any(c.isalnum() for c in self.text[: first.start]):
            return
        unit = self._of_unit(first)
        after = self.text[unit[-1].end :].lstrip(" '\")]")
        if first.is_headline or not after or after[0] in "\n.,;!。":
            self._raise(self._of_group(first), ANNOUNCED)

    def _take_back(self) -> None:
        """What stands before "actually" or "I mean" is taken back, if an option follows it."""
        for mark in self.marks:
            if "instead" in mark.kinds:
                after = [m for m in self.mentions if m.start >= mark.end and id(m) not in self.denied]
                if after:
                    heaviest = max(self.weights[id(m)] for m in self.mentions)
                    self.denied |= {id(m) for m in self.mentions if m.start < mark.start}
                    self._raise(self._of_group(after[0]), heaviest)

    def _denied_later(self, left: Sequence[Mention]) -> set[int]:
        """Options that are denied after they were last named without a denial."""
        last = {m.option: m.start for m in left}
        return {
            m.option
            for m in self.mentions
            if id(m) in self.denied and m.start > last.get(m.option, len(self.text))
        }

    def _is_open(self, end: int) -> bool:
        """Whether the text leaves open what it names, or denies something that is no option."""
        return self._denies_more or any(
            "whether" in mark.kinds or ("unsure" in mark.kinds and mark.start >= end)
            for mark in self.marks
        )
