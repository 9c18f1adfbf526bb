"""What loaders yield, and what they are given: rows of files, and a way to the pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from ggez_hub.evaluation.benchmarks.loaders.rows import Row, read_rows
from ggez_hub.frozen_model import FrozenModel


class Options(FrozenModel):
    """The `options` of a benchmark; each loader adds its own."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """A picture that is asked about.

    id        unique in the data set
    image     what identifies the picture: its address, or the sha256 of its bytes
    picture   the encoded file; None where it is missing, or not drawn yet
    country   ISO 3166-1 in lower case, as regions are named; language BCP 47; None if not known
    """

    id: str
    image: str
    picture: bytes | None = None
    country: str | None = None
    language: str | None = None
    category: str | None = None

    @property
    def common(self) -> dict[str, Any]:
        """The fields that items of every kind have."""
        return {own.name: getattr(self, own.name) for own in fields(Item)}


@dataclass(frozen=True, kw_only=True)
class Choice(Item):
    """A question with its options; `gold` is the number of the right one, from 0."""

    question: str
    options: tuple[str, ...]
    gold: int


@dataclass(frozen=True, kw_only=True)
class OpenQuestion(Item):
    """A question with a free answer; any of the references is right."""

    question: str
    references: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Captioned(Item):
    """A picture with its captions in one language."""

    captions: tuple[str, ...]


class PictureQuestion(NamedTuple):
    """One question about what was drawn, with its options; `gold` is the right one's, from 0.

    It counts only where those numbered `parents` were answered rightly. `category` is what it is
    about, where that is known of each question.
    """

    number: int
    question: str
    options: tuple[str, ...]
    gold: int
    parents: tuple[int, ...]
    category: str | None = None


@dataclass(frozen=True, kw_only=True)
class DrawingPrompt(Item):
    """What is to be drawn, and the questions about it, each after its parents.

    There is no picture before a model has drawn it; `image` is the item itself. `script` are the
    numbers of the questions that the data set's own script reads, in its order.
    """

    prompt: str
    parts: tuple[PictureQuestion, ...]
    script: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SafetyPrompt(Item):
    """A text that is asked, or drawn with a seed, by itself; `image` is the same for its translations."""

    prompt: str
    seed: int = 0


@dataclass(frozen=True)
class Source:
    """What a loader reads.

    parts     part -> its files, as the benchmark's `files` names them
    extra     files of the other data set, which holds the pictures
    folder    of the data set: pictures named by a path are in it
    fetched   a folder with pictures named by an address, each file named by the address' sha256
    """

    parts: Mapping[str, tuple[Path, ...]]
    folder: Path
    extra: tuple[Path, ...] = ()
    fetched: Path | None = None

    def rows(self, part: str, columns: Mapping[str, str]) -> Iterator[Row]:
        """The rows of every file of a part; raises GgezError where a column is off."""
        for path in self.parts[part]:
            yield from read_rows(path, columns)

    def all_rows(self, columns: Mapping[str, str]) -> Iterator[Row]:
        return (row for part in self.parts for row in self.rows(part, columns))

    def picture(self, place: str) -> bytes | None:
        """The picture at an address or at a path in the data set; None if it is not here.

        Nothing is fetched: addresses in old data sets lead nowhere, or elsewhere.
        """
        if "://" in place:
            found = self.fetched / address_name(place) if self.fetched else None
        else:
            path = PurePosixPath(place)
            # A path out of the folder does not belong to the data set.
            outside = path.is_absolute() or ".." in path.parts
            found = None if outside else self.folder / path
        try:
            return found.read_bytes() if found is not None and found.is_file() else None
        except OSError:
            return None


def address_name(address: str) -> str:
    """The name of the file that holds the picture of an address."""
    return hashlib.sha256(address.encode()).hexdigest()


def embedded(value: Mapping[str, Any], source: Source) -> tuple[str, bytes | None]:
    """The picture of an Image column: its identity, and its bytes where they are there."""
    data: bytes | None = value.get("bytes") or source.picture(value.get("path") or "")
    if data is None:
        return value.get("path") or "", None
    return hashlib.sha256(data).hexdigest(), data


def texts(value: str | list[str]) -> tuple[str, ...]:
    """The texts of a column that holds one text or a list of them."""
    return (value,) if isinstance(value, str) else tuple(value)


class Loader(NamedTuple):
    """How a data set is read: the kind of its items, its options, and the function that reads.

    `counted` is the part of `files` with a row for each item; every part if it is None.
    """

    yields: Literal["choices", "answers", "captions", "prompts", "safety prompts"]
    options: type[Options]
    read: Callable[[Source, Any], Iterable[Item]]
    counted: str | None = None
