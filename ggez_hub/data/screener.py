"""The stages that look at one example alone: they run in any number of processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from ggez_hub.data.deduplication import fingerprint
from ggez_hub.data.examples import Example, ExampleBuilder, Unreadable
from ggez_hub.data.held_out.matcher import ExampleText, HeldOutMatcher
from ggez_hub.data.pictures import BadPicture, PictureHash, hash_picture, picture_bytes
from ggez_hub.data.plan import FilterPlan, PartId
from ggez_hub.data.region_rules import RuleCombination, combination
from ggez_hub.data.rows import Row
from ggez_hub.data.tally import HELD_OUT, KEPT, UNREADABLE, WITHOUT_PICTURE, Tally

# A row may make several examples with one picture.
_hashed = lru_cache(1)(hash_picture)
# A reason that says that there is no picture, where a picture is not required.
NONE = "there is none"


@dataclass(frozen=True)
class Screener:
    """Turns parts of the sources into rows; `held_out` is what they are compared with."""

    plan: FilterPlan
    held_out: HeldOutMatcher | None

    @cached_property
    def _region(self) -> RuleCombination:
        spec = self.plan.spec
        return combination(spec.keep_region, spec.region, self.plan.folder)

    def rows(self, part: PartId, tally: Tally) -> Iterator[Row]:
        """The rows of a part that pass the rules which look at one example alone."""
        name, folder = self.plan.sources[part.source].name, self._pictures(part)
        self._region.seen.clear()
        for number, example in self._examples(part):
            if isinstance(example, Unreadable):
                tally.add(Example(f"{name}/{number}", name), f"row: {example.reason}")
            elif row := self._screened(example, folder, tally):
                yield row
        tally.evidence.update(self._region.seen)

    def held_out_rows(self, part: PartId, tally: Tally) -> Iterator[Row]:
        """The rows of a part that is held out: what they are found by."""
        folder = self._pictures(part)
        for _, example in self._examples(part):
            if isinstance(example, Unreadable):
                tally.extra[UNREADABLE] += 1
            else:
                yield self._held_out(example, folder, tally)

    def _pictures(self, part: PartId) -> Path | None:
        return self.plan.sources[part.source].pictures_folder(self.plan.folder)

    def _examples(self, part: PartId) -> Iterator[tuple[str, Example | Unreadable]]:
        source = self.plan.sources[part.source]
        builder = ExampleBuilder(source.name, source.reads, answers=not part.held_out)
        for number, values in self.plan.readers[part.source].rows(part.extent):
            if isinstance(values, Unreadable):
                yield number, values
            else:
                for example in builder.examples(values, number):
                    yield number, example

    def _screened(self, example: Example, folder: Path | None, tally: Tally) -> Row | None:
        """The row of an example that passes, or None with the reason counted."""
        answer, reason, held = self._region(example)
        if answer is False:
            tally.add(example, f"region: {reason}")
            return None
        spec = self.plan.spec
        content, hashed = None, PictureHash()
        if spec.pictures != "ignored":
            try:
                content = picture_bytes(example.picture, folder)
                hashed = _hashed(content, spec.held_out is not None)
            except BadPicture as problem:
                if spec.pictures == "required" or problem.reason != NONE:
                    tally.add(example, f"picture: {problem.reason}", example.path)
                    return None
        row = Row(
            id=example.id,
            source=example.source,
            image={"bytes": content, "path": example.path or None} if content else None,
            text=example.text,
            messages=example.messages,
            language=example.language,
            country=example.country,
            category=example.category,
            format=example.format,
            scores=[{"name": k, "value": v} for k, v in sorted(example.scores.items())],
            rules_held=held,
            is_open=answer is None,
        )
        if spec.duplicates != "keep":
            row.phash = hashed.phash
            row.key, row.minhash = fingerprint(spec.duplicates, hashed.sha256, row.text)
        if self.held_out is not None:
            text = ExampleText.of(row.messages)
            if leak := self.held_out.match(hashed.sha256, hashed.portrait, text):
                row.leak, row.leak_kind = leak
        if not self.plan.needs_stages:
            tally.add(row, KEPT)
        return row

    def _held_out(self, example: Example, folder: Path | None, tally: Tally) -> Row:
        tally.extra[HELD_OUT] += 1
        hashed = PictureHash()
        if self.plan.spec.pictures != "ignored":
            try:
                hashed = _hashed(picture_bytes(example.picture, folder), True)
            except BadPicture:
                tally.extra[WITHOUT_PICTURE] += 1
        return Row(
            id=example.id,
            source=example.source,
            messages=example.messages,
            sha256=hashed.sha256,
            portrait=hashed.portrait.packed() if hashed.portrait else None,
        )
