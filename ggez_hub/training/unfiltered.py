"""Examples of sources that no filter has seen: every row is one.

Whatever of them cannot be read is an error: counting and dropping is the filter's work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ggez_hub.cards.schema import DataFilter
from ggez_hub.data.builder import Builder
from ggez_hub.data.cells import Malformed
from ggez_hub.data.example import Example
from ggez_hub.data.pictures import BadPicture, opened, picture_bytes
from ggez_hub.data.sources import BadSource, Reader, Unreadable, open_source
from ggez_hub.data.spec import Source
from ggez_hub.recipe_file import BadRecipe
from ggez_hub.training.examples import Examples, Row
from ggez_hub.weights import digest_json

# Pictures that cannot be read are named, but not all of them.
SHOWN = 3


@dataclass(frozen=True)
class Unfiltered(Examples):
    """Sources with paths that start from the folder `here`; `key` is that of the recipe."""

    sources: Sequence[Source]
    here: Path
    key: str

    def check(self) -> None:
        assert self._readers  # noqa: S101 - opening them checks their columns

    @property
    def origin(self) -> DataFilter:
        count = self.counts.total()
        return DataFilter.model_validate(
            {
                "sources": [
                    {
                        "repo": source.hub.repo if source.hub else source.name,
                        "revision": self._readers[source.name].revision(),
                        "license": source.license,
                    }
                    for source in self.sources
                ],
                "rules": ["every row of the sources"],
                "reward": "none",
                "translator": "none",
                "counts": {"seen": count, "kept": count},
                "spec_digest": self.digest,
            }
        )

    @cached_property
    def digest(self) -> str:
        """That of the sources and their revisions."""
        asked = {
            "filtered": None,
            "sources": [source.model_dump(mode="json") for source in self.sources],
        }
        revisions = {name: reader.revision() for name, reader in self._readers.items()}
        return digest_json({"data": asked, "revisions": revisions})

    @cached_property
    def counts(self) -> Counter[str]:
        """Every row is read for it, but no picture."""
        return Counter(example.language for _, example in self._examples())

    @property
    def nbytes(self) -> int:
        places = [source.pictures or source.imagefolder for source in self.sources]
        folders = [self.here / place for place in places if place is not None]
        return sum(p.stat().st_size for f in folders for p in f.rglob("*") if p.is_file())

    def rows(self) -> Iterator[Row]:
        lost: Counter[str] = Counter()
        first: list[str] = []
        for source, example in self._examples():
            try:
                image = self._picture(source, example)
            except BadPicture as problem:
                lost[problem.reason] += 1
                if len(first) < SHOWN:
                    first.append(f"{example.id}: {example.path or 'the picture'}")
                continue
            yield {**_row(example), "image": image}
        if lost:
            reasons = ", ".join(f"{reason} ({count})" for reason, count in lost.items())
            raise BadRecipe(
                f"{self.key}.sources: pictures cannot be read: {reasons}; {'; '.join(first)}",
                "Relative paths start from `pictures`. `ggez-hub filter` counts what is lost, and "
                "leaves it out.",
            )

    def outlines(self) -> Iterator[Row]:
        for source, example in self._examples():
            image = None if source.reads.picture is None else {"bytes": b""}
            yield {**_row(example), "image": image}

    @cached_property
    def _readers(self) -> dict[str, Reader]:
        found = {}
        for number, source in enumerate(self.sources):
            try:
                found[source.name] = open_source(source, self.here)
            except BadSource as error:
                raise BadRecipe(
                    f"{self.key}.sources.{number}: {error.message}", error.hint
                ) from error
        return found

    def _examples(self) -> Iterator[tuple[Source, Example]]:
        for number, source in enumerate(self.sources):
            reader, builder = self._readers[source.name], Builder(source.name, source.reads)
            for extent in reader.extents():
                for row in reader.rows(extent):
                    if isinstance(row.values, Unreadable):
                        raise self._bad_row(number, row.number, row.values.reason)
                    for example in builder.examples(row.values, row.number):
                        if isinstance(example, Malformed):
                            raise self._bad_row(number, row.number, example.reason)
                        yield source, example

    def _bad_row(self, number: int, row: str, reason: str) -> BadRecipe:
        return BadRecipe(
            f"{self.key}.sources.{number}: row {row}: {reason}",
            "`ggez-hub filter` counts such rows, and leaves them out.",
        )

    def _picture(self, source: Source, example: Example) -> dict[str, Any] | None:
        if source.reads.picture is None:
            return None
        name = source.pictures if source.pictures is not None else source.imagefolder
        content = picture_bytes(example.picture, None if name is None else self.here / name)
        opened(content, draft=True)
        return {"bytes": content, "path": None}


def _row(example: Example) -> Row:
    return {
        "id": example.id,
        "text": example.text,
        "messages": [{"role": role, "content": text} for role, text in example.messages],
        "language": example.language,
        "format": example.format,
    }
