"""The stages that look at one example alone: they run in any number of processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from ggez_hub.data.deduplication import fingerprint
from ggez_hub.data.examples import Example, ExampleBuilder, Unreadable
from ggez_hub.data.held_out.matcher import ExampleText, HeldOutMatcher
from ggez_hub.data.pictures import BadPicture, PictureHash, hash_picture, picture_bytes
from ggez_hub.data.plan import FilterPlan, PartId
from ggez_hub.data.region_rules import RuleCombination, combination
from ggez_hub.data.rows import OUTPUT, SCREENED, Row
from ggez_hub.data.tally import HELD_OUT, KEPT, UNREADABLE, WITHOUT_PICTURE, Tally
from ggez_hub.data.work_folder import WorkFolder

# A row may make several examples with one picture.
_hashed = lru_cache(1)(hash_picture)
# A reason that says that there is no picture, where a picture is not required.
NONE = "there is none"


@dataclass(frozen=True)
class Screener:
    """Turns parts of the sources into screened tables."""

    plan: FilterPlan
    work: WorkFolder

    @cached_property
    def _region(self) -> RuleCombination:
        spec = self.plan.spec
        return combination(spec.keep_region, spec.region, self.plan.folder)

    @cached_property
    def _held(self) -> HeldOutMatcher | None:
        """What is held out, once all of it is entered; None where nothing is."""
        asked = self.plan.spec.held_out
        if asked is None:
            return None
        return HeldOutMatcher(self.work.index("held"), asked.similarity, read_only=True)

    def close(self) -> None:
        if self._held is not None:
            self._held.close()

    def screen(self, part: PartId) -> None:
        """Write the table of a part, unless it is there."""
        if not self.work.is_done("screened", part.number):
            tally = Tally()
            schema = SCREENED if self.plan.needs_stages else OUTPUT
            self.work.write("screened", part.number, schema, self._rows(part, tally), tally)

    def _rows(self, part: PartId, tally: Tally) -> Iterator[Row]:
        source = self.plan.sources[part.source]
        folder = source.pictures_folder(self.plan.folder)
        builder = ExampleBuilder(source.name, source.reads, answers=not part.held_out)
        screened = self._held_out if part.held_out else self._screened
        self._region.seen.clear()
        for number, values in self.plan.readers[part.source].rows(part.extent):
            found: Iterable[Example | Unreadable]
            found = [values] if isinstance(values, Unreadable) else builder.examples(values, number)
            for example in found:
                if not isinstance(example, Unreadable):
                    if row := screened(example, folder, tally):
                        yield row
                elif part.held_out:
                    tally.extra[UNREADABLE] += 1
                else:
                    nothing = Example(f"{source.name}/{number}", source.name)
                    tally.add(nothing, f"row: {example.reason}")
        tally.evidence.update(self._region.seen)

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
        if self._held is not None:
            text = ExampleText.of(row.messages)
            if leak := self._held.match(hashed.sha256, hashed.portrait, text):
                row.leak, row.leak_kind = leak
        if not self.plan.needs_stages:
            tally.add(row, KEPT)
        return row

    def _held_out(self, example: Example, folder: Path | None, tally: Tally) -> Row:
        """The row of an example that is held out: what it is found by."""
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
