"""The stages that look at one example alone: they run in any number of processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from ggez_hub.data.deduplication import marks
from ggez_hub.data.examples import Example, ExampleBuilder, Malformed
from ggez_hub.data.held_out.matcher import ExampleText, HeldOutMatcher, Leak
from ggez_hub.data.pictures import BadPicture, Looked, look, picture_bytes
from ggez_hub.data.plan import FilterPlan, PartId
from ggez_hub.data.region_rules import RuleCombination, combination
from ggez_hub.data.sources import Unreadable
from ggez_hub.data.table import OUTPUT, SCREENED, write_rows
from ggez_hub.data.tally import KEPT, Tally, Traits
from ggez_hub.data.work_folder import WorkFolder

# A reason that says that there is no picture, where a picture is not required.
NONE = "there is none"
HELD_OUT = "held-out examples"
UNREADABLE = "held-out examples that could not be read"
WITHOUT_PICTURE = "held-out examples whose picture could not be read"


def traits(example: Example) -> Traits:
    """What an example is counted by."""
    return Traits(
        example.source, example.country, example.language, example.format, example.category
    )


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
        """Close the file of what is held out."""
        if self._held is not None:
            self._held.close()

    def screen(self, part: PartId) -> int:
        """Write the table of a part, unless it is there; returns the part's number."""
        if not self.work.done("screened", part.number):
            tally = Tally()
            self._region.seen.clear()
            partial = self.work.partial("screened", part.number)
            schema = SCREENED if self.plan.needs_judge else OUTPUT
            write_rows(partial, schema, self._rows(part, tally))
            tally.evidence.update(self._region.seen)
            self.work.finish("screened", part.number, tally)
        return part.number

    def _rows(self, part: PartId, tally: Tally) -> Iterator[dict[str, Any]]:
        source = self.plan.sources[part.source]
        folder = self.plan.pictures_of(part.source)
        for example in self._examples(part):
            if part.held_out:
                row = self._held_out(example, folder, tally)
            elif isinstance(example, Malformed):
                tally.add(Traits(source.name), f"row: {example.reason}", example.row)
                continue
            else:
                row = self._screened(example, folder, tally)
            if row is not None:
                yield row

    def _examples(self, part: PartId) -> Iterator[Example | Malformed]:
        """The examples of a part; in the place of one that cannot be read, why not."""
        source = self.plan.sources[part.source]
        builder = ExampleBuilder(source.name, source.reads, answers=not part.held_out)
        for number, values in self.plan.readers[part.source].rows(part.extent):
            row = f"{source.name}/{number}"
            if isinstance(values, Unreadable):
                yield Malformed(values.reason, row)
                continue
            for example in builder.examples(values, number):
                if isinstance(example, Malformed):
                    yield Malformed(example.reason, row)
                else:
                    yield example

    def _screened(
        self, example: Example, folder: Path | None, tally: Tally
    ) -> dict[str, Any] | None:
        """The row of an example that passes, or None with the reason counted."""
        answer, reason, held = self._region(example)
        if answer is False:
            tally.add(traits(example), f"region: {reason}", example.id, example.text)
            return None
        spec = self.plan.spec
        content, looked = None, None
        if spec.pictures != "ignored":
            try:
                content = picture_bytes(example.picture, folder)
                looked = self._look(content)
            except BadPicture as problem:
                if spec.pictures == "required" or problem.reason != NONE:
                    outcome = f"picture: {problem.reason}"
                    tally.add(traits(example), outcome, example.id, example.text, example.path)
                    return None
        text = example.text
        row = {
            "id": example.id,
            "source": example.source,
            "image": {"bytes": content, "path": example.path or None} if content else None,
            "text": text,
            "messages": _messages(example),
            "language": example.language,
            "country": example.country,
            "category": example.category,
            "format": example.format,
            "scores": [{"name": k, "value": v} for k, v in sorted(example.scores.items())],
            "held": held,
            "open": answer is None,
        }
        if spec.duplicates != "keep":
            sha256, phash, _ = looked or (None, None, None)
            row |= marks(spec.duplicates, sha256, phash, text)
        if leak := self._leak(looked, example):
            row |= {"leak": leak.name, "leak_kind": leak.kind}
        if not self.plan.needs_judge:
            tally.add(traits(example), KEPT, example.id, text)
        return row

    def _look(self, content: bytes) -> Looked:
        return _looked(content, self.plan.spec.held_out is not None)

    def _leak(self, looked: Looked | None, example: Example) -> Leak | None:
        if self._held is None:
            return None
        sha256, _, portrait = looked or (None, None, None)
        return self._held.match(sha256, portrait, ExampleText.of(_messages(example)))

    def _held_out(
        self, example: Example | Malformed, folder: Path | None, tally: Tally
    ) -> dict[str, Any] | None:
        """The row of an example that is held out: what it is found by."""
        if isinstance(example, Malformed):
            tally.extra[UNREADABLE] += 1
            return None
        tally.extra[HELD_OUT] += 1
        looked = None
        if self.plan.spec.pictures != "ignored":
            try:
                looked = self._look(picture_bytes(example.picture, folder))
            except BadPicture:
                tally.extra[WITHOUT_PICTURE] += 1
        return {
            "id": example.id,
            "source": example.source,
            "messages": _messages(example),
            "sha256": looked.sha256 if looked else None,
            "portrait": looked.portrait.packed() if looked and looked.portrait else None,
        }


def _messages(example: Example) -> list[dict[str, str]]:
    return [{"role": role, "content": said} for role, said in example.messages]


@lru_cache(1)
def _looked(content: bytes, portrait: bool) -> Looked:
    """What is seen of a picture; a row may make several examples with it."""
    return look(content, portrait=portrait)
