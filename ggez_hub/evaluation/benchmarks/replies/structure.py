"""How a text is put together: its sentences and clauses, and which options stand together in it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise, takewhile

from ggez_hub.evaluation.benchmarks.replies.labels import Mention
from ggez_hub.evaluation.benchmarks.replies.lexicon import Mark, blanked
from ggez_hub.evaluation.benchmarks.replies.mentions import Named

# A denial reaches back so many letters.
NEAR = 16
STOPS = re.compile(r"[.!?。।॥။]+(?=\s|$|[^\x00-\u024F])|[。।॥။]|\n")
SIGNS = re.compile(r"[,;:،؛၊、៖—…]|\s[-–]\s|\.{2,}|[-=]>")
# Signs within what is one option, between those that are listed, and around a word that joins two.
WITHIN, LISTING, JOINING = " .,:()[]-–—'/", " ,;/、()[]", " ,;/、()[].?"


class Structure:
    """A text with the options that it names.

    A unit is one option, said once or twice ("B. Satay"). A group are units that are joined or
    listed ("A or B", "A, B"), or a letter before the text of another option.
    """

    def __init__(self, named: Named) -> None:
        self.text, self.mentions, self.marks = named.text, named.mentions, named.marks
        self.count = named.count
        self.stops, self._clauses = self._cuts()
        self._places = [m.start for m in self.mentions]
        # Each mention -> those of its unit, and of its group.
        self.units: dict[Mention, list[Mention]] = {}
        self.groups: dict[Mention, list[Mention]] = {}
        # The first of each group that a word joins, not a comma alone.
        self._joined: set[Mention] = set()
        self._put_together()

    def sentence(self, place: int) -> int:
        return bisect_right(self.stops, place)

    def clause(self, place: int) -> int:
        return bisect_right(self._clauses, place)

    def lists_several(self) -> bool:
        """Whether labels of several options are listed: at the head of lines, or with their texts."""
        listed = {m.option for m in self.mentions if m.is_headline}
        for label, after in pairwise(self.mentions):
            gap = self.text[label.end : after.start]
            if label.kind in ("letter", "number") and not gap.strip(WITHIN):
                is_entry = self.units[label] is self.units[after] and after.kind == "text"
                # "A. B.": a label behind another.
                is_bare = (
                    bool(gap.strip()) and after.kind == label.kind and after.option != label.option
                )
                if is_entry or (is_bare and not self.text[after.end :].lstrip(WITHIN)):
                    listed |= {label.option, after.option}
        return len(listed) > 1

    def behind(self, mark: Mark) -> Sequence[Mention]:
        return self.mentions[bisect_right(self._places, mark.end - 1) :]

    def following(self, mark: Mark) -> list[Mention]:
        """The mentions behind a word in its clause, with those that are joined to the last."""
        clause = self.clause(mark.start)
        found = list(takewhile(lambda m: self.clause(m.start) == clause, self.behind(mark)))
        group = self.groups[found[-1]] if found else []
        if group and group[0] in self._joined:
            found += [m for m in group if m.start > found[-1].start]
        return found

    def preceding(self, mark: Mark, near: int = NEAR) -> list[Mention]:
        """What stands before a word in its clause, if it is near, with what it is joined to."""
        last = bisect_right(self._places, mark.start) - 1
        if last < 0 or self.clause(self.mentions[last].end - 1) != self.clause(mark.start):
            return []
        mention = self.mentions[last]
        if sum(c.isalnum() for c in self.text[mention.end : mark.start]) > near:
            return []
        return self.groups[mention]

    def before(self, mark: Mark) -> list[Mention]:
        """The unit that stands before a word, in whatever clause."""
        last = bisect_right(self._places, mark.start) - 1
        return self.units[self.mentions[last]] if last >= 0 else []

    def is_clause(self, mark: Mark, kinds: set[str]) -> bool:
        """Whether a word is all of its clause, but for words of these kinds."""
        clause = self.clause(mark.start)
        start = self._clauses[clause - 1] if clause else 0
        end = self._clauses[clause] if clause < len(self._clauses) else len(self.text)
        others = [m for m in self._marks_within(start, end) if m is mark or m.kinds & kinds]
        return not any(c.isalnum() for c in blanked(self.text[start:end], others, start))

    def _marks_within(self, start: int, end: int) -> list[Mark]:
        first = bisect_right(self.marks, start - 1, key=lambda mark: mark.start)
        last = bisect_right(self.marks, end - 1, key=lambda mark: mark.start)
        return self.marks[first:last]

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

    def _put_together(self) -> None:
        unit: list[Mention] = []
        group: list[Mention] = []
        for before, mention in zip([None, *self.mentions], self.mentions, strict=False):
            if before is not None:
                is_new, is_apart, is_joined = self._relation(before, mention)
                unit, group = [] if is_new else unit, [] if is_apart else group
                if is_joined:
                    self._joined.add(group[0])
            unit.append(mention)
            group.append(mention)
            self.units[mention], self.groups[mention] = unit, group

    def _relation(self, before: Mention, mention: Mention) -> tuple[bool, bool, bool]:
        """Whether a mention begins a unit, whether a group, and whether a word joins the two."""
        marks = self._marks_within(before.end, mention.start)
        same = before.option == mention.option
        joins = any(mark.kinds & {"either", "both"} for mark in marks)
        kinds = {"beside", "option"} if same else {"beside", "option", "either", "both"}
        gap = self._gap(before.end, mention.start, marks, kinds)
        if same:
            is_apart = gap is None or bool(set(gap) - set(WITHIN))
            return is_apart, is_apart, False
        if gap is not None and not set(gap) - set(JOINING if joins else LISTING):
            return True, not joins and bool(marks), joins
        return True, not self._clashes(before, mention), False

    def _gap(self, start: int, end: int, marks: Sequence[Mark], kinds: set[str]) -> str | None:
        """The signs between two places; None if there are other words than these."""
        gap = blanked(self.text[start:end], [m for m in marks if m.kinds & kinds], start)
        return None if any(c.isalnum() for c in gap) or "\n" in gap else gap

    def _clashes(self, label: Mention, text: Mention) -> bool:
        """Whether a label stands before the text of another option, as in "B. Satay"."""
        between = self.text[label.end : text.start]
        if (
            label.kind == "text"
            or text.kind != "text"
            or between.strip(" .):]-–—'")
            or "\n" in between
        ):
            return False
        return not re.match(r"\s+[a-z]", self.text[text.end : text.end + 2])
