"""Ratings as a file: what every score of people follows from.

Parquet, one row for each judgement, output and measure. The same rows give the same bytes with the
same version of pyarrow. COLUMNS are:

    study, design, measure   digest of the pinned study; the design's name; rank, preference, both_bad
                             or the id of a scale
    judgement                names the judgement among all: <rater>/<item>|<models>|<occurrence>
    item, item_side, category, language   what it is about: the world (global) or the region
    model, model_digest      whose output the value is about
    models                   sha256 of the sorted digests of all models that the study compares
    rater, rater_kind, rater_side, rater_language, rater_country, rater_languages
                             person or simulated; from the region (regional) or the rest of the world;
                             the language of work; ISO 3166-1 and BCP 47 as declared, "" if not
    time                     UTC, ISO 8601
    position, occurrence     place on the screen from 0; 1 where the rater judged the same set again
    value, seconds           the value; how long the set was shown
    gold, gold_right         whether the answer is known; whether it was given, null where not known
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ggez_hub.atomic_files import atomic_file
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.extras import require
from ggez_hub.parquet import FileTooLarge, read_bounded

if TYPE_CHECKING:
    import pyarrow as pa

RATINGS = "ratings.parquet"
TEXTS = (
    "study", "design", "measure", "judgement", "item", "item_side", "category", "language", "model",
    "model_digest", "models", "rater", "rater_kind", "rater_side", "rater_language", "rater_country",
    "time",
)  # fmt: skip
NUMBERS = ("position", "occurrence", "value", "seconds")
COLUMNS = (*TEXTS, "rater_languages", *NUMBERS, "gold", "gold_right")
# The columns that have one value in all rows, and those that a judgement, a rater or a model has one of.
ONE = ("study", "design", "models")
OF = {
    "judgement": ("rater", "item"),
    "rater": ("rater_kind", "rater_side", "rater_language"),
    "model": ("model_digest",),
}
SIDES = ("global", "regional")
WORDS = {"rater_kind": ("person", "simulated"), "item_side": SIDES, "rater_side": SIDES}
Row: TypeAlias = Mapping[str, Any]
Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


class Coded(NamedTuple):
    """A column of texts: an index into `names` for each row."""

    codes: Integers
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Ratings:
    """The rows of a file as columns; `right` is 1, 0, or -1 where it is not known."""

    texts: Mapping[str, Coded]
    value: Floats
    seconds: Floats
    occurrence: Integers
    gold: Mask
    right: Integers

    def __len__(self) -> int:
        return len(self.value)

    def codes(self, column: str) -> Integers:
        return self.texts[column].codes

    def names(self, column: str) -> tuple[str, ...]:
        return self.texts[column].names

    def equals(self, column: str, name: str) -> Mask:
        """The rows that have a text in a column."""
        coded = self.texts[column]
        place = coded.names.index(name) if name in coded.names else -1
        return np.asarray(coded.codes == place)

    def only(self, column: str) -> str:
        """The one text of a column that has one in all rows."""
        return self.names(column)[0]

    def where(self, rows: Mask) -> Ratings:
        """These rows; names that are in none of them stay."""
        return Ratings(
            {name: Coded(coded.codes[rows], coded.names) for name, coded in self.texts.items()},
            *(
                getattr(self, name)[rows]
                for name in ("value", "seconds", "occurrence", "gold", "right")
            ),
        )


def write_ratings(path: Path, rows: Iterable[Row]) -> str:
    """Write rows, sorted, and return the sha256 of the file."""
    require("eval", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    order = ("rater", "time", "judgement", "position", "measure")
    table = pa.Table.from_pylist(
        sorted(rows, key=lambda row: tuple(row[name] for name in order)), schema=_schema()
    )
    with atomic_file(path) as partial:
        pq.write_table(
            table, partial, compression="zstd", compression_level=9, store_schema=False, version="2.6"
        )  # fmt: skip
    return sha256_file(path)


def read_ratings(path: Path) -> Ratings:
    """The rows of a file; raises GgezError if it is not one, or its rows contradict each other."""
    require("eval", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        there = pq.read_schema(path).remove_metadata()
        if there != _schema():
            raise GgezError(f"{path} has other columns than ratings: {', '.join(there.names)}")
        table = read_bounded(path, there)
    except FileNotFoundError:
        raise GgezError(
            f"{path} is missing", "`ggez-hub humans score DIR` writes it from a study."
        ) from None
    except (OSError, FileTooLarge, pa.ArrowException) as error:
        raise GgezError(f"{path} cannot be read as parquet: {error}") from error
    for name in COLUMNS[:-1]:
        if table.column(name).null_count:
            raise GgezError(f"{path}: a row has no {name}")
    ratings = _of_table(table)
    if problem := _problem(ratings):
        raise GgezError(f"{path}: {problem}", "It was changed, or made by something else.")
    return ratings


def _of_table(table: pa.Table) -> Ratings:
    def coded(name: str) -> Coded:
        column = table.column(name).combine_chunks().dictionary_encode()
        names = column.dictionary.to_pylist()
        order = np.argsort(np.array(names, dtype=object)) if names else np.empty(0, int)
        rank = np.empty(len(names), np.int64)
        rank[order] = np.arange(len(names))
        return Coded(rank[column.indices.to_numpy()], tuple(names[n] for n in order))

    def numbers(name: str) -> NDArray[Any]:
        return np.asarray(table.column(name).to_numpy())

    known = table.column("gold_right").is_valid().to_numpy()
    right = table.column("gold_right").fill_null(False).to_numpy()
    return Ratings(
        {name: coded(name) for name in TEXTS},
        numbers("value"),
        numbers("seconds"),
        numbers("occurrence").astype(np.int64),
        numbers("gold"),
        np.where(known, right, -1).astype(np.int64),
    )


def _problem(ratings: Ratings) -> str | None:
    """What cannot be, whatever the study is."""
    if not len(ratings):
        return "it has no rows"
    for name in ONE:
        if len(ratings.names(name)) > 1:
            return f"rows have different values of {name}"
    for name, words in WORDS.items():
        if other := set(ratings.names(name)).difference(words):
            return f"{name} is {min(other)!r}"
    for name, columns in OF.items():
        for column in columns:
            pairs = np.unique(np.stack([ratings.codes(name), ratings.codes(column)]), axis=1)
            if pairs.shape[1] > len(ratings.names(name)):
                return f"one {name} has several values of {column}"
    keys = np.stack([ratings.codes(name) for name in ("judgement", "model", "measure")])
    if np.unique(keys, axis=1).shape[1] < len(ratings):
        return "a judgement gives a model two values of one measure"
    if not (np.isfinite(ratings.value).all() and np.isfinite(ratings.seconds).all()):
        return "a value or a time is not a number"
    if not np.isin(ratings.occurrence, (0, 1)).all():
        return "an occurrence is neither 0 nor 1"
    return None


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = {
        **dict.fromkeys(TEXTS, pa.string()),
        "rater_languages": pa.list_(pa.field("element", pa.string(), nullable=False)),
        **dict.fromkeys(("position", "occurrence"), pa.int8()),
        **dict.fromkeys(("value", "seconds"), pa.float64()),
        **dict.fromkeys(("gold", "gold_right"), pa.bool_()),
    }
    return pa.schema([(name, kinds[name]) for name in COLUMNS])
