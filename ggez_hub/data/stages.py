"""The stages that need the order, or a model: they run in one process, part after part."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any, Protocol

from ggez_hub.data.deduplication import DuplicateIndex, Item, Likeness, marks
from ggez_hub.data.examples import UNKNOWN
from ggez_hub.data.held_out.matcher import ExampleText, HeldOutMatcher
from ggez_hub.data.plan import FilterPlan, PartId
from ggez_hub.data.scorers.base import Scorer
from ggez_hub.data.table import OUTPUT, read_rows, write_rows
from ggez_hub.data.tally import CROWDED, KEPT, TRANSLATED, Tally, Traits
from ggez_hub.data.work_folder import Scores, WorkFolder

# How many rows a model gets at once; it cuts them into batches of its own.
AT_ONCE = 256
# How many earlier texts of each key one is compared with.
COMPARED = 64
# Rows of a part are numbered below this.
PART = 1 << 40
COMPARISONS: dict[str, Callable[[float, float], bool]] = {">": operator.gt, ">=": operator.ge}

Rows = Iterable[dict[str, Any]]


class PictureEvidence(Protocol):
    """Rules on pictures: how many of them hold for each row."""

    def held(self, rows: list[dict[str, Any]], tally: Tally) -> list[int]: ...


class Translator(Protocol):
    """Makes rows in further languages of rows."""

    @property
    def name(self) -> str: ...

    def translated(self, rows: list[dict[str, Any]], tally: Tally) -> Iterator[dict[str, Any]]:
        """The further rows; those that do not pass the checks are counted."""
        ...


@dataclass
class FilterStages:
    """Turns screened tables into kept ones; a context manager, which holds the files of its work."""

    plan: FilterPlan
    work: WorkFolder
    scorer: Scorer | None = None
    evidence: PictureEvidence | None = None
    translator: Translator | None = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _held: HeldOutMatcher | None = None
    _seen: DuplicateIndex | None = None
    _scores: Scores | None = None

    def __enter__(self) -> FilterStages:
        spec = self.plan.spec
        if spec.held_out is not None:
            self._held = self._stack.enter_context(
                HeldOutMatcher(self.work.index("held"), spec.held_out.similarity)
            )
        if spec.duplicates != "keep":
            rule = spec.duplicates
            self._seen = DuplicateIndex(
                self.work.index("seen"), Likeness(rule.by, rule.distance, rule.similarity), COMPARED
            )
            self._stack.callback(self._seen.close)
        if self.scorer is not None:
            self._scores = Scores(self.work.scores)
            self._stack.callback(self._scores.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def judge(self, part: PartId) -> None:
        """Write the kept table of a part whose screened table is there."""
        if not self.plan.needs_judge:
            self.work.keep_all(part.number)
            return
        tally = self.work.tally("screened", part.number)
        screened = self.work.table("screened", part.number)
        target = self.work.partial("kept", part.number)
        if part.held_out:
            write_rows(target, OUTPUT, self._entered(read_rows(screened), part))
        else:
            write_rows(target, OUTPUT, self._all_stages(read_rows(screened), part, tally))
        if self._held is not None and part.held_out:
            self._held.commit()
        if self._seen is not None:
            self._seen.commit()
            tally.extra[CROWDED] += self._seen.crowded
            self._seen.crowded = 0
        self.work.finish("kept", part.number, tally)
        self.work.drop("screened", part.number)

    def _entered(self, rows: Rows, part: PartId) -> Iterator[dict[str, Any]]:
        """Enter what is held out; nothing of it is a row of the output."""
        assert self._held is not None  # noqa: S101 - a part is held out only where the spec says so
        for number, row in enumerate(rows):
            self._held.add(row, part.number * PART + number)
        yield from ()

    def _all_stages(self, rows: Rows, part: PartId, tally: Tally) -> Iterator[dict[str, Any]]:
        if self.evidence is not None:
            rows = self._decided(rows, self.evidence, tally)
        # Whatever is compared has a number, in the order in which that happens.
        ordinals = count(part.number * PART)
        rows = self._new(rows, ordinals, tally)
        if self.scorer is not None and self._scores is not None:
            rows = self._rewarded(rows, part, self.scorer, self._scores, tally)
        for chunk in chunks(rows):
            for row in chunk:
                _count(tally, row, KEPT)
                yield row
            if self.translator is not None:
                yield from self._added(self.translator, chunk, ordinals, tally)

    def _decided(
        self, rows: Rows, evidence: PictureEvidence, tally: Tally
    ) -> Iterator[dict[str, Any]]:
        spec = self.plan.spec.keep_region
        for chunk in chunks(rows):
            open_rows = [row for row in chunk if row["open"]]
            held = dict(
                zip((row["id"] for row in open_rows), evidence.held(open_rows, tally), strict=True)
            )
            for row in chunk:
                if row["open"] and row["held"] + held[row["id"]] < spec.needed:
                    reason = f"fewer than {spec.needed} of {len(spec.rules)} rules hold"
                    _count(tally, row, f"region: {reason}")
                else:
                    yield row

    def _new(self, rows: Rows, ordinals: Iterator[int], tally: Tally) -> Iterator[dict[str, Any]]:
        """Rows that are neither held out nor seen before."""
        for row in rows:
            ordinal = next(ordinals)
            if (name := row["leak"]) is not None:
                source = name.partition("/")[0]
                _count(tally, row, f"held out: {source}, {row['leak_kind']}", f"like {name}")
                continue
            if self._seen is not None:
                item = _item(row)
                if match := self._seen.match(item, ordinal):
                    reason = "exact" if match.exact else "near"
                    _count(tally, row, f"duplicate: {reason}", f"like {match.name}")
                    continue
                self._seen.add(item, ordinal)
            yield row

    def _added(
        self,
        translator: Translator,
        rows: list[dict[str, Any]],
        ordinals: Iterator[int],
        tally: Tally,
    ) -> Iterator[dict[str, Any]]:
        """Translations of rows: held to the same as what was seen, but for their picture.

        A translation has the picture of its original, which has passed.
        """
        rule = self.plan.spec.duplicates
        seen = None if rule == "keep" or rule.by == "picture" else self._seen
        for row in translator.translated(rows, tally):
            outcome = "taken"
            question = ExampleText.of(row["messages"])
            pictured = row["image"] is not None
            if self._held is not None and self._held.match_text(question, pictured=pictured):
                outcome = "held out"
            elif seen is not None and rule != "keep":
                content = row["image"]["bytes"] if row["image"] else None
                sha256 = hashlib.sha256(content).digest() if content else None
                item = _item({**row, **marks(rule, sha256, row["phash"], row["text"])})
                ordinal = next(ordinals)
                if seen.match(item, ordinal):
                    outcome = "duplicate"
                else:
                    seen.add(item, ordinal)
            tally.extra[f"translation {row['language']}: {outcome}"] += 1
            if outcome == "taken":
                _count(tally, row, TRANSLATED)
                yield row

    def _rewarded(
        self, rows: Rows, part: PartId, scorer: Scorer, scores: Scores, tally: Tally
    ) -> Iterator[dict[str, Any]]:
        spec = self.plan.spec.reward
        assert spec != "none"  # noqa: S101 - there is no scorer otherwise
        above = COMPARISONS[spec.comparison]

        def spoken() -> Iterator[dict[str, Any]]:
            for row in rows:
                language = row["language"]
                if language.partition("-")[0] in scorer.languages:
                    yield row
                elif language == UNKNOWN:
                    _count(tally, row, "reward: the language is unknown")
                else:
                    _count(tally, row, f"reward: the scorer is not made for {language}")

        for number, chunk in enumerate(chunks(spoken())):
            found = scores.through(scorer, part.number, number, chunk)
            for row, score in zip(chunk, found, strict=True):
                if score is None:
                    _count(tally, row, "reward: the scorer gave no score")
                elif above(score, spec.threshold):
                    yield {**row, "reward": score}
                else:
                    _count(tally, row, f"reward: not {spec.comparison} {spec.threshold:g}")


def chunks(rows: Rows) -> Iterator[list[dict[str, Any]]]:
    """Rows in lists of at most AT_ONCE."""
    source = iter(rows)
    while chunk := list(islice(source, AT_ONCE)):
        yield chunk


def counted_by(row: dict[str, Any]) -> Traits:
    """What a row is counted by."""
    return Traits(row["source"], row["country"], row["language"], row["format"], row["category"])


def _count(tally: Tally, row: dict[str, Any], outcome: str, note: str = "") -> None:
    tally.add(counted_by(row), outcome, row["id"], row["text"], note)


def _item(row: dict[str, Any]) -> Item:
    return Item(row["id"], row["key"], row["phash"], row["minhash"])
