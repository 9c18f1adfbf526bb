"""The examples of a run, as a table on disk whose rows can be read in any order.

A row is one of the filter's output: id, image {bytes, path} or None, text, messages [{role,
content}], language, format. What the filter wrote is taken as it is; sources are read here, and
whatever of them cannot be read is an error: counting and dropping is the filter's work.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.cards.schema import DataFilter
from ggez_hub.data.example import Builder, Example, Malformed
from ggez_hub.data.pictures import BadPicture, opened, picture_bytes
from ggez_hub.data.sources import BadSource, Reader, Unreadable, open_source
from ggez_hub.data.spec import Source
from ggez_hub.recipe_file import BadRecipe
from ggez_hub.training.recipe import Data
from ggez_hub.weights import digest_json

if TYPE_CHECKING:
    import datasets

BLOCK, REPORT, SHARDS = "data_filter.json", "report.json", "data/*.parquet"
# What training reads of a row.
COLUMNS = ("id", "image", "text", "messages", "language", "format")
SHOWN = 3
BATCH = 64


@dataclass(frozen=True)
class Examples:
    """Where examples come from; `key` is that of the recipe, for messages."""

    asked: Data
    here: Path
    key: str = "data"

    @cached_property
    def origin(self) -> DataFilter:
        """How the examples were selected, for the card."""
        if self.asked.filtered is not None:
            block = json.loads((self._folder / BLOCK).read_text(encoding="utf-8"))
            return DataFilter.model_validate(block["data_filter"])
        count = self.count
        return DataFilter.model_validate(
            {
                "sources": [
                    {
                        "repo": source.hub.repo if source.hub else source.name,
                        "revision": self._readers[source.name].revision(),
                        "license": source.license,
                    }
                    for source in self.asked.sources or []
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
        """The sha256 of what decides the rows: of a filter's folder its report, else the sources."""
        if self.asked.filtered is not None:
            block = json.loads((self._folder / BLOCK).read_text(encoding="utf-8"))
            return str(block["report_digest"])
        revisions = {name: reader.revision() for name, reader in self._readers.items()}
        return digest_json({"data": self.asked.model_dump(mode="json"), "revisions": revisions})

    @cached_property
    def languages(self) -> list[str]:
        """The languages of the examples, the most frequent first; those that are known."""
        counts: Counter[str] = Counter()
        if self.asked.filtered is not None:
            report = json.loads((self._folder / REPORT).read_text(encoding="utf-8"))
            for language, row in report["by"]["language"].items():
                counts[language] += row["kept"] + row["translated"]
        else:
            counts.update(example.language for _, example in self._examples())
        return [name for name, n in counts.most_common() if n and name.isalpha() and len(name) < 4]

    def usable(self, usable: Callable[[Mapping[str, Any]], bool]) -> int:
        """How many are usable, as far as can be told without reading a picture."""
        return sum(1 for row in self._told() if usable(row))

    @cached_property
    def nbytes(self) -> int:
        """About how much disk a copy takes; 0 for sources of a hub."""
        if self.asked.filtered is not None:
            return sum(path.stat().st_size for path in self._shards)
        places = [s.pictures or s.imagefolder for s in self.asked.sources or []]
        folders = [self.here / place for place in places if place is not None]
        return sum(p.stat().st_size for f in folders for p in f.rglob("*") if p.is_file())

    @cached_property
    def count(self) -> int:
        """How many there are; of sources every row is read for it, but no picture."""
        if self.asked.filtered is not None:
            import pyarrow.parquet as pq

            return sum(pq.read_metadata(path).num_rows for path in self._shards)
        return sum(1 for _ in self._examples())

    def check(self) -> None:
        """Raise BadRecipe if there is no such data, or its columns are not there."""
        if self.asked.filtered is not None:
            self._check_filtered()
        else:
            assert self._readers  # noqa: S101 - opening them checks their columns

    def table(self, cache: Path, usable: Callable[[Mapping[str, Any]], bool]) -> datasets.Dataset:
        """The usable rows, in Arrow files below `cache`; raises BadRecipe for what cannot be read."""
        import datasets

        from ggez_hub.data.table import FEATURES

        kinds = datasets.Features.from_dict({name: FEATURES[name] for name in COLUMNS})
        kinds["image"] = datasets.Image(decode=False)
        datasets.disable_progress_bars()
        try:
            return datasets.Dataset.from_generator(
                lambda: (row for row in self._rows() if usable(row)),
                features=kinds,
                cache_dir=str(cache),
                fingerprint=self.digest[:32],
            )
        except datasets.exceptions.DatasetGenerationError as error:
            # What stopped the generator is what there is to say.
            raise error.__cause__ or error from None

    @property
    def _folder(self) -> Path:
        return self.here / Path(self.asked.filtered or "").expanduser()

    @property
    def _shards(self) -> list[Path]:
        return sorted(self._folder.glob(SHARDS))

    @cached_property
    def _readers(self) -> dict[str, Reader]:
        found = {}
        for number, source in enumerate(self.asked.sources or []):
            try:
                found[source.name] = open_source(source, self.here)
            except BadSource as error:
                raise BadRecipe(
                    f"{self.key}.sources.{number}: {error.message}", error.hint
                ) from error
        return found

    def _check_filtered(self) -> None:
        import pyarrow.parquet as pq

        where = f"{self.key}.filtered"
        missing = [name for name in (BLOCK, REPORT) if not (self._folder / name).is_file()]
        if missing or not self._shards:
            raise BadRecipe(
                f"{where}: {self._folder} is no output of `ggez-hub filter`: it has no "
                f"{(missing or [SHARDS])[0]}",
                f"Write one with `ggez-hub filter`, or name other data under {self.key}.sources.",
            )
        for path in self._shards:
            names = pq.read_schema(path).names
            if lacking := [name for name in COLUMNS if name not in names]:
                raise BadRecipe(
                    f"{where}: {path} has no column {lacking[0]!r}",
                    f"Its columns are {', '.join(names)}.",
                )

    def _told(self) -> Iterator[dict[str, Any]]:
        """The rows without the content of their pictures."""
        if self.asked.filtered is not None:
            import pyarrow.parquet as pq

            columns = ["id", "image.path", "text", "messages", "language", "format"]
            for path in self._shards:
                with pq.ParquetFile(path) as file:
                    for batch in file.iter_batches(BATCH, columns=columns):
                        yield from batch.to_pylist()
            return
        for source, example in self._examples():
            row = _row(example)
            yield {**row, "image": None if source.reads.picture is None else {"bytes": b""}}

    def _rows(self) -> Iterator[dict[str, Any]]:
        if self.asked.filtered is not None:
            import pyarrow.parquet as pq

            for path in self._shards:
                with pq.ParquetFile(path) as file:
                    for batch in file.iter_batches(BATCH, columns=list(COLUMNS)):
                        yield from batch.to_pylist()
            return
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

    def _examples(self) -> Iterator[tuple[Source, Example]]:
        for number, source in enumerate(self.asked.sources or []):
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


def _row(example: Example) -> dict[str, Any]:
    return {
        "id": example.id,
        "text": example.text,
        "messages": [{"role": role, "content": text} for role, text in example.messages],
        "language": example.language,
        "format": example.format,
    }
