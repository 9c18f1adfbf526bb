"""Duplicates of a corpus, found in tasks: nothing but the rows that share a key is compared.

    keys      of the rows of a part: rows that may be alike share one    a task for each part
    links     between the rows that share a key                a task for each range of keys
    groups    of rows that are linked, also through others               one task
    matches   within groups, in the order of the corpus: a row repeats
              the first earlier one that it is like and that stays       a task for each bin of groups

So the matches do not depend on how many tasks there are, and each row that is dropped is itself like
one that stays.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ggez_hub.atomic_files import atomic_file
from ggez_hub.data.deduplication import (
    DuplicateIndex,
    Signature,
    differing_bits,
    is_alike,
    near_text_keys,
    picture_keys,
    text_keys,
)
from ggez_hub.data.duplicate_groups import PART, Numbers, forest, write_bins
from ggez_hub.data.spec import DuplicatesSpec

# Rows are numbered by part and place; what is added to the corpus comes after all of it.
ADDED = 1 << 62
KEYED = np.dtype([("key", "<u8"), ("ordinal", "<i8"), ("phash", "<u8")])
# Rows whose keys are in one file, keys of a range, and linked rows that one task compares.
ROWS_TOGETHER, KEYS_TOGETHER, LINKED_TOGETHER = 1 << 15, 1 << 21, 1 << 17
# Rows whose keys are computed at once.
AT_ONCE = 256
# Matches that are written at once.
MATCHES_TOGETHER = 1 << 14
# The rows that are dropped: each with the one that stays, and whether it is itself like that one.
DROPPED = pa.schema(
    {"id": pa.string(), "like": pa.string(), "is_exact": pa.bool_(), "is_alike": pa.bool_()}
)
MATCHES = pa.schema([pa.field("ordinal", pa.int64()), *DROPPED])


class Match(NamedTuple):
    """The row that another one repeats."""

    id: str
    is_exact: bool


@dataclass(frozen=True)
class DuplicateSearch:
    """A search and its files in a folder; a file has its name only when it is complete."""

    folder: Path
    rule: DuplicatesSpec

    def write_keys(self, part: int, rows: Iterable[tuple[int, Signature]]) -> None:
        """Write the keys of the rows of a part, which come with their ordinals."""
        waiting: list[tuple[int, Signature]] = []
        number = 0
        for row in rows:
            waiting.append(row)
            if len(waiting) == ROWS_TOGETHER:
                self._write_keys(f"{part:06d}-{number:04d}.npy", waiting)
                waiting, number = [], number + 1
        self._write_keys(f"{part:06d}-{number:04d}.npy", waiting)

    def _write_keys(self, name: str, rows: Sequence[tuple[int, Signature]]) -> None:
        signatures = [signature for _, signature in rows]
        ordinals = np.array([ordinal for ordinal, _ in rows], np.int64)
        for kind, (places, keys, phashes) in (
            ("texts", text_keys(signatures, self.rule)),
            ("pictures", picture_keys(signatures, self.rule)),
        ):
            if len(keys):
                found = np.zeros(len(keys), KEYED)
                found["key"], found["ordinal"], found["phash"] = keys, ordinals[places], phashes
                _save(self.folder / kind / name, np.sort(found, order=("key", "ordinal")))

    def ranges(self) -> int:
        """How many ranges of keys there are."""
        files = [*self.folder.glob("texts/*.npy"), *self.folder.glob("pictures/*.npy")]
        size = sum(path.stat().st_size for path in files)
        return -(-size // (KEYS_TOGETHER * KEYED.itemsize))

    def link(self, ranges: int, number: int) -> None:
        """Link the rows that share a key of a range; by pictures, if these are near each other."""
        texts, pictures = (
            _in_range(sorted((self.folder / kind).glob("*.npy")), number, ranges)
            for kind in ("texts", "pictures")
        )
        links = [_linked(texts)[0], _near_each_other(pictures, self.rule.distance)]
        _save(self.folder / "links" / f"{number:06d}.npy", forest(np.concatenate(links)))

    def group(self, _: int = 0) -> None:
        """Put the groups into bins, each group into one."""
        write_bins(
            sorted((self.folder / "links").glob("*.npy")), self.folder / "bins", LINKED_TOGETHER
        )

    def bins(self) -> int:
        """How many bins there are."""
        return len(list((self.folder / "bins").glob("*.npy")))

    def match(self, number: int, signatures: Callable[[Numbers], Iterator[Signature]]) -> None:
        """Match the rows of a bin; `signatures` gives those of ordinals, which ascend."""
        ordinals = np.load(self.folder / "bins" / f"{number:06d}.npy", mmap_mode="r")
        with atomic_file(self.folder / "matches" / f"{number:06d}.arrow", durable=False) as partial:
            index = DuplicateIndex(partial.with_suffix(".sqlite"), self.rule)
            found = self._found(index, ordinals, signatures(ordinals))
            with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, MATCHES) as writer:
                while some := list(islice(found, MATCHES_TOGETHER)):
                    columns = zip(zip(*some, strict=True), MATCHES.types, strict=True)
                    arrays = [pa.array(*column) for column in columns]
                    writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=MATCHES))
            index.remove()
            _save(self.folder / "crowded" / f"{number:06d}.npy", np.array(index.crowded))

    def _found(
        self, index: DuplicateIndex, ordinals: Numbers, rows: Iterator[Signature]
    ) -> Iterator[tuple[int, str, str, bool, bool]]:
        """The rows of MATCHES."""
        # Where something was added, the rest was compared before.
        compared = ADDED if len(ordinals) and ordinals[-1] >= ADDED else 0
        for ordinal, row, keys in self._with_keys(ordinals, rows):
            other = index.match(row, keys) if ordinal >= compared else None
            if other is None:
                index.add(row, keys, ordinal)
            else:
                alike = is_alike(row, other, self.rule)
                yield ordinal, row.id, other.id, row.key == other.key, alike

    def _with_keys(
        self, ordinals: Numbers, rows: Iterator[Signature]
    ) -> Iterator[tuple[int, Signature, list[int]]]:
        for start in range(0, len(ordinals), AT_ONCE):
            some = ordinals[start : start + AT_ONCE].tolist()
            found = list(islice(rows, len(some)))
            yield from zip(some, found, near_text_keys(found, self.rule), strict=True)

    def matches(self, first: int) -> dict[int, Match]:
        """The rows of a part that repeat another one, by place; `first` is the part's first ordinal."""
        found = {}
        for table in self._matches():
            ordinals = table["ordinal"].to_numpy()
            low, high = np.searchsorted(ordinals, [first, first + PART]).tolist()
            for row in table.slice(low, high - low).to_pylist():
                found[row["ordinal"] - first] = Match(row["like"], row["is_exact"])
        return found

    def crowded(self) -> int:
        """How many rows were compared with some of those that share a key, not with all."""
        return sum(int(np.load(path)) for path in self.folder.glob("crowded/*.npy"))

    def unlike(self) -> int:
        """How many of the rows that are dropped are not themselves like the one that stays."""
        return sum(len(table) - (table["is_alike"].true_count or 0) for table in self._matches())

    def write_dropped(self, path: Path) -> None:
        """Write the rows that are dropped, with the columns of DROPPED, as parquet."""
        with pq.ParquetWriter(path, DROPPED, compression="zstd") as writer:
            for table in self._matches():
                writer.write_batch(table.select(DROPPED.names))

    def _matches(self) -> Iterator[pa.RecordBatch]:
        for path in sorted((self.folder / "matches").glob("*.arrow")):
            with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
                yield from map(file.get_batch, range(file.num_record_batches))


def _save(path: Path, array: NDArray[Any]) -> None:
    with atomic_file(path, durable=False) as partial, partial.open("wb") as file:
        np.save(file, array)


def _in_range(files: Sequence[Path], number: int, of: int) -> NDArray[Any]:
    """What the sorted files have in one of the ranges that all keys are divided into."""
    found = [np.zeros(0, KEYED)]
    for path in files:
        keyed = np.load(path, mmap_mode="r")
        low, high = (
            bisect_left(keyed, (1 << 64) * n // of, key=lambda row: int(row["key"]))
            for n in (number, number + 1)
        )
        found.append(np.array(keyed[low:high]))
    return np.concatenate(found)


def _linked(keyed: NDArray[Any], *names: str) -> tuple[Numbers, NDArray[Any]]:
    """Links (N, 2) from the first row with each key, or with the same of `names` too; the first rows."""
    keyed = np.sort(keyed, order=("key", *names, "ordinal"))
    is_first = np.ones(len(keyed), bool)
    is_first[1:] = np.any([keyed[n][1:] != keyed[n][:-1] for n in ("key", *names)], axis=0)
    firsts = keyed["ordinal"][np.maximum.accumulate(np.where(is_first, np.arange(len(keyed)), 0))]
    return np.stack([firsts, keyed["ordinal"]], axis=1)[~is_first], keyed[is_first]


def _near_each_other(keyed: NDArray[Any], distance: int) -> Numbers:
    """Links (N, 2) between rows that share a key, and whose hashes differ in few bits."""
    same, keyed = _linked(keyed, "phash")
    links = [same]
    # One row for each hash is compared with those of the others, a step apart, then two, and so on.
    places, step = np.arange(len(keyed)), 1
    while True:
        places = places[places + step < len(keyed)]
        places = places[keyed["key"][places] == keyed["key"][places + step]]
        if not len(places):
            return np.concatenate(links)
        one, other = keyed[places], keyed[places + step]
        near = differing_bits(one["phash"], other["phash"]) <= distance
        links.append(np.stack([one["ordinal"], other["ordinal"]], axis=1)[near])
        step += 1
