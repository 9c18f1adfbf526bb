"""The examples of a run: the output of `ggez-hub filter`, or sources of which every row is one.

A row is one of the filter's output: id, image {bytes, path} or None, text, messages [{role,
content}], language, format.
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

from ggez_hub.cards.provenance import DataFilter
from ggez_hub.data.examples import Example, ExampleBuilder, Unreadable
from ggez_hub.data.pictures import BadPicture, decode, picture_bytes
from ggez_hub.data.sources import BadSource, Reader, open_source
from ggez_hub.data.spec import SourceSpec
from ggez_hub.digests import digest_json
from ggez_hub.parquet import read_pieces
from ggez_hub.recipe_file import BadRecipe

if TYPE_CHECKING:
    import datasets

# What training reads of a row.
COLUMNS = ("id", "image", "text", "messages", "language", "format")
# A picture's path shows that there is one.
WITHOUT_PICTURES = tuple("image.path" if name == "image" else name for name in COLUMNS)
# Files of a filter's output.
BLOCK, SHARDS = "data_filter.json", "data/*.parquet"
# Pictures that cannot be read are named, but not all of them.
NAMED = 3

Row: TypeAlias = dict[str, Any]
RowProblem: TypeAlias = Callable[[Mapping[str, Any]], str | None]
"""Why a row is not an example; None if it is one."""


def caption_problem(row: Mapping[str, Any]) -> str | None:
    """For a family that learns from captions of pictures."""
    if row["format"] != "caption":
        return f"{row['format']}, not a caption"
    return "no picture" if row["image"] is None else None


def reply_problem(row: Mapping[str, Any]) -> str | None:
    """For a family that learns to reply: nothing is learned from a question without an answer."""
    messages = row["messages"]
    return None if messages and messages[-1]["role"] == "assistant" else "no reply"


class Examples(ABC):
    """The rows of a key of a recipe."""

    @abstractmethod
    def check(self) -> None:
        """Raise BadRecipe if the data or its columns are missing."""

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
    def nbytes(self) -> int:
        """About how much disk a copy takes; 0 for sources of a hub."""

    @abstractmethod
    def rows(self, *, pictures: bool = True) -> Iterator[Row]:
        """All rows, with the content of their pictures or without it.

        Raises BadRecipe for what cannot be read.
        """

    @cached_property
    def counts(self) -> Counter[str]:
        """The number of rows by language, the most frequent first."""
        return Counter(row["language"] for row in self.rows(pictures=False))

    def table(self, cache: Path, problem: RowProblem) -> datasets.Dataset:
        """The rows without a problem, in Arrow files below `cache`; raises what `rows` raises."""
        import datasets

        from ggez_hub.data.rows import FEATURES

        features = datasets.Features.from_dict({name: FEATURES[name] for name in COLUMNS})
        features["image"] = datasets.Image(decode=False)
        datasets.disable_progress_bars()
        if all(problem(row) is not None for row in self.rows(pictures=False)):
            return datasets.Dataset.from_dict({name: [] for name in COLUMNS}, features=features)
        try:
            return datasets.Dataset.from_generator(
                lambda: (row for row in self.rows() if problem(row) is None),
                features=features,
                cache_dir=str(cache),
                fingerprint=self.digest[:32],
            )
        except datasets.exceptions.DatasetGenerationError as error:
            raise error.__cause__ or error from None


@dataclass(frozen=True)
class FilteredExamples(Examples):
    """The output folder of a filter; `key` is that of the recipe, for messages."""

    folder: Path
    key: str

    def check(self) -> None:
        import pyarrow.parquet as pq

        where = f"{self.key}.filtered"
        if missing := [name for name in (BLOCK, SHARDS) if not any(self.folder.glob(name))]:
            raise BadRecipe(
                f"{where}: {self.folder} is not an output of `ggez-hub filter`: it has no {missing[0]}",
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
        return DataFilter.model_validate(self._block["data_filter"])

    @property
    def digest(self) -> str:
        return str(self._block["report_digest"])

    @property
    def nbytes(self) -> int:
        return sum(path.stat().st_size for path in self._shards)

    def rows(self, *, pictures: bool = True) -> Iterator[Row]:
        names = list(COLUMNS if pictures else WITHOUT_PICTURES)
        for path in self._shards:
            for piece in read_pieces(path, names):
                yield from piece

    @property
    def _shards(self) -> list[Path]:
        return sorted(self.folder.glob(SHARDS))

    @property
    def _block(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / BLOCK).read_text(encoding="utf-8"))
        return found


@dataclass(frozen=True)
class UnfilteredExamples(Examples):
    """Sources with paths that start from the folder `here`; `key` is that of the recipe.

    Whatever of them cannot be read is an error: counting and dropping is the filter's work.
    """

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
        sources = [source.model_dump(mode="json") for source in self.sources]
        revisions = {name: reader.revision() for name, reader in self._readers.items()}
        return digest_json({"data": {"filtered": None, "sources": sources}, "revisions": revisions})

    @property
    def nbytes(self) -> int:
        folders = [source.pictures_folder(self.here) for source in self.sources]
        files = (path for folder in folders if folder for path in folder.rglob("*"))
        return sum(path.stat().st_size for path in files if path.is_file())

    def rows(self, *, pictures: bool = True) -> Iterator[Row]:
        lost: Counter[str] = Counter()
        first: list[str] = []
        for source, example in self._examples():
            image = None
            if source.reads.picture is not None:
                try:
                    content = self._picture(source, example) if pictures else b""
                except BadPicture as problem:
                    lost[problem.reason] += 1
                    if len(first) < NAMED:
                        first.append(f"{example.id}: {example.path or 'the picture'}")
                    continue
                image = {"bytes": content, "path": None}
            yield {
                "id": example.id,
                "image": image,
                "text": example.text,
                "messages": example.messages,
                "language": example.language,
                "format": example.format,
            }
        if lost:
            reasons = ", ".join(f"{reason} ({count})" for reason, count in lost.items())
            raise BadRecipe(
                f"{self.key}.sources: pictures cannot be read: {reasons}; {'; '.join(first)}",
                "Relative paths start from `pictures`. `ggez-hub filter` counts what is lost, and "
                "leaves it out.",
            )

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

    def _picture(self, source: SourceSpec, example: Example) -> bytes:
        content = picture_bytes(example.picture, source.pictures_folder(self.here))
        decode(content, draft=True)
        return content
