"""The examples of a run, as a table on disk whose rows can be read in any order.

A row is one of the filter's output: id, image {bytes, path} or None, text, messages [{role,
content}], language, format. Where rows come from is a subclass.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ggez_hub.cards.schema import DataFilter
from ggez_hub.data.examples import Example, ExampleBuilder, Unreadable
from ggez_hub.data.pictures import BadPicture, opened, picture_bytes
from ggez_hub.data.sources import BadSource, Reader, open_source
from ggez_hub.data.spec import SourceSpec
from ggez_hub.digests import digest_json
from ggez_hub.recipe_file import BadRecipe

if TYPE_CHECKING:
    import datasets


# What training reads of a row.
COLUMNS = ("id", "image", "text", "messages", "language", "format")

Row: TypeAlias = dict[str, Any]
Unused: TypeAlias = Callable[[Mapping[str, Any]], str | None]
"""Why a row is no example; None if it is one."""


class Examples(ABC):
    """Rows of one key of a recipe."""

    @abstractmethod
    def check(self) -> None:
        """Raise BadRecipe if there is no such data, or its columns are not there."""

    @property
    @abstractmethod
    def origin(self) -> DataFilter:
        """How the rows were selected, for the card."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """The sha256 of what decides the rows."""

    @property
    @abstractmethod
    def counts(self) -> Counter[str]:
        """How many rows there are, by language."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """About how much disk a copy takes; 0 for sources of a hub."""

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """All of them; raises BadRecipe for what cannot be read."""

    @abstractmethod
    def outlines(self) -> Iterator[Row]:
        """The rows without the content of their pictures."""

    @property
    def languages(self) -> list[str]:
        """The languages, the most frequent first; those that are known."""
        return [tag for tag, n in self.counts.most_common() if n and tag.isalpha() and len(tag) < 4]

    def sorted_out(self, unused: Unused) -> Counter[str | None]:
        """How many rows are not used, by reason, and with the reason None how many are."""
        return Counter(unused(row) for row in self.outlines())

    def table(self, cache: Path, unused: Unused) -> datasets.Dataset:
        """The rows that are used, in Arrow files below `cache`; raises what `rows` raises."""
        import datasets

        from ggez_hub.data.rows import FEATURES

        kinds = datasets.Features.from_dict({name: FEATURES[name] for name in COLUMNS})
        kinds["image"] = datasets.Image(decode=False)
        datasets.disable_progress_bars()
        if all(unused(row) is not None for row in self.outlines()):
            return datasets.Dataset.from_dict({name: [] for name in COLUMNS}, features=kinds)
        try:
            return datasets.Dataset.from_generator(
                lambda: (row for row in self.rows() if unused(row) is None),
                features=kinds,
                cache_dir=str(cache),
                fingerprint=self.digest[:32],
            )
        except datasets.exceptions.DatasetGenerationError as error:
            # What stopped the generator is what there is to say.
            raise error.__cause__ or error from None


def reasons(sorted_out: Counter[str | None]) -> dict[str, int]:
    """Rows that are not used by reason, the commonest first."""
    return {reason: n for reason, n in sorted_out.most_common() if reason is not None}


def caption_problem(row: Mapping[str, Any]) -> str | None:
    """For a family that learns from captions of pictures."""
    if row["format"] != "caption":
        return f"{row['format']}, not a caption"
    return "no picture" if row["image"] is None else None


def reply_problem(row: Mapping[str, Any]) -> str | None:
    """For a family that learns to reply: a question without an answer says nothing."""
    messages = row["messages"]
    return None if messages and messages[-1]["role"] == "assistant" else "no reply"


BLOCK, REPORT, SHARDS = "data_filter.json", "report.json", "data/*.parquet"
# A picture's path says that there is one.
WITHOUT_PICTURES = tuple("image.path" if name == "image" else name for name in COLUMNS)
BATCH = 64


@dataclass(frozen=True)
class Filtered(Examples):
    """The folder of a filter; `key` is that of the recipe, for messages."""

    folder: Path
    key: str

    def check(self) -> None:
        import pyarrow.parquet as pq

        where = f"{self.key}.filtered"
        missing = [name for name in (BLOCK, REPORT) if not (self.folder / name).is_file()]
        if missing or not self._shards:
            raise BadRecipe(
                f"{where}: {self.folder} is no output of `ggez-hub filter`: it has no "
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

    @property
    def origin(self) -> DataFilter:
        return DataFilter.model_validate(self._read(BLOCK)["data_filter"])

    @property
    def digest(self) -> str:
        """That of the filter's report."""
        return str(self._read(BLOCK)["report_digest"])

    @cached_property
    def counts(self) -> Counter[str]:
        languages = self._read(REPORT)["by"]["language"]
        return Counter({tag: row["kept"] + row["translated"] for tag, row in languages.items()})

    @property
    def nbytes(self) -> int:
        return sum(path.stat().st_size for path in self._shards)

    def rows(self) -> Iterator[Row]:
        return self._columns(COLUMNS)

    def outlines(self) -> Iterator[Row]:
        return self._columns(WITHOUT_PICTURES)

    @property
    def _shards(self) -> list[Path]:
        return sorted(self.folder.glob(SHARDS))

    def _read(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / name).read_text(encoding="utf-8"))
        return found

    def _columns(self, names: Sequence[str]) -> Iterator[Row]:
        import pyarrow.parquet as pq

        for path in self._shards:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(BATCH, columns=list(names)):
                    yield from batch.to_pylist()


# Pictures that cannot be read are named, but not all of them.
SHOWN = 3


@dataclass(frozen=True)
class Unfiltered(Examples):
    """Sources with paths that start from the folder `here`; `key` is that of the recipe."""

    sources: Sequence[SourceSpec]
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
        folders = [source.pictures_folder(self.here) for source in self.sources]
        return sum(p.stat().st_size for f in folders if f for p in f.rglob("*") if p.is_file())

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

    def _examples(self) -> Iterator[tuple[SourceSpec, Example]]:
        for number, source in enumerate(self.sources):
            reader, builder = self._readers[source.name], ExampleBuilder(source.name, source.reads)
            for extent in reader.extents():
                for row in reader.rows(extent):
                    if isinstance(row.values, Unreadable):
                        raise self._bad_row(number, row.number, row.values.reason)
                    for example in builder.examples(row.values, row.number):
                        if isinstance(example, Unreadable):
                            raise self._bad_row(number, row.number, example.reason)
                        yield source, example

    def _bad_row(self, number: int, row: str, reason: str) -> BadRecipe:
        return BadRecipe(
            f"{self.key}.sources.{number}: row {row}: {reason}",
            "`ggez-hub filter` counts such rows, and leaves them out.",
        )

    def _picture(self, source: SourceSpec, example: Example) -> dict[str, Any] | None:
        if source.reads.picture is None:
            return None
        content = picture_bytes(example.picture, source.pictures_folder(self.here))
        opened(content, draft=True)
        return {"bytes": content, "path": None}


def _row(example: Example) -> Row:
    return {
        "id": example.id,
        "text": example.text,
        "messages": example.messages,
        "language": example.language,
        "format": example.format,
    }
