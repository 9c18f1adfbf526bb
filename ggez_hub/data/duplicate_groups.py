"""Groups of linked rows, by union-find in a table on disk: memory does not grow with the rows.

The table has a place for each row of the parts that are linked: the earlier row of its group that it
leads to, and a number of its group. Links are joined a chunk at a time, and then the rows are put
into bins, a chunk at a time. What the system holds of the table in memory, it can take back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from ggez_hub.atomic_files import atomic_file

Numbers = NDArray[np.int64]
# Rows are numbered by part and place.
PART = 1 << 32
# Links that are joined at once, and rows that are looked at.
CHUNK = 1 << 16
HEADER = {"descr": "<i8", "fortran_order": False}


def write_bins(links: Sequence[Path], folder: Path, together: int) -> None:
    """Write the rows of the groups into files of `folder`, each group into one, by its first row.

    links     files of links (N, 2) between rows
    together  about how many rows a file has

    A file is an array of numpy, ascending. Takes 16 bytes of disk for each row of the corpus while
    it runs. Raises OSError if the disk is full.
    """
    numbering = _Numbering.of(_chunks(links))
    if not numbering.count:
        return
    # A file without a name, beside the others: it goes with this process.
    with TemporaryFile(dir=folder.parent) as file, ExitStack() as stack:
        earlier, sizes = _table(file, numbering.count)
        for chunk in _chunks(links):
            _join(earlier, numbering.places(chunk))
        for places in _ranges(numbering.count):
            earlier[places] = roots = _roots(earlier, places)
            np.add.at(sizes, roots, 1)
        bins: list[Path] = []
        for count in _number_bins(sizes, together):
            place = folder / f"{len(bins):06d}.npy"
            bins.append(stack.enter_context(atomic_file(place, durable=False)))
            with bins[-1].open("wb") as out:
                np.lib.format.write_array_header_1_0(out, HEADER | {"shape": (count,)})
        for places in _ranges(numbering.count):
            numbers = -1 - sizes[earlier[places]]
            for number in np.unique(numbers[numbers >= 0]).tolist():
                with bins[number].open("ab") as out:
                    out.write(numbering.rows(places[numbers == number]).tobytes())


def forest(links: Numbers) -> Numbers:
    """Links (N, 2) as few as join the same rows: each row with the first one of its group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, places = np.unique(links, return_inverse=True)
    ends = places.reshape(links.shape).T
    ones = np.ones(len(links), np.int8)
    graph = coo_array((ones, (ends[0], ends[1])), shape=(len(rows), len(rows)))
    _, labels = connected_components(graph, directed=False)
    # Rows ascend, so that the first with a label is the smallest.
    _, firsts = np.unique(labels, return_index=True)
    roots = rows[firsts[labels]]
    return np.stack([roots, rows], axis=1)[roots != rows]


@dataclass(frozen=True)
class _Numbering:
    """Rows numbered without gaps, in their order: `starts` are the places of the first rows of `parts`."""

    parts: Numbers
    starts: Numbers
    count: int

    @classmethod
    def of(cls, links: Iterable[Numbers]) -> Self:
        lengths: dict[int, int] = {}
        for chunk in links:
            rows = np.unique(chunk)
            for row in rows[np.diff(rows // PART, append=-1) != 0].tolist():
                part, place = divmod(row, PART)
                lengths[part] = max(place + 1, lengths.get(part, 0))
        parts = sorted(lengths)
        ends = np.cumsum([0, *(lengths[part] for part in parts)])
        return cls(np.array(parts, np.int64), ends[:-1], int(ends[-1]))

    def places(self, rows: Numbers) -> Numbers:
        return self.starts[np.searchsorted(self.parts, rows // PART)] + rows % PART

    def rows(self, places: Numbers) -> Numbers:
        of = np.searchsorted(self.starts, places, "right") - 1
        return self.parts[of] * PART + places - self.starts[of]


def _chunks(links: Sequence[Path]) -> Iterator[Numbers]:
    for path in links:
        found = np.load(path, mmap_mode="r")
        for start in range(0, len(found), CHUNK):
            yield np.array(found[start : start + CHUNK])


def _ranges(count: int) -> Iterator[Numbers]:
    for start in range(0, count, CHUNK):
        yield np.arange(start, min(start + CHUNK, count))


def _table(file: IO[bytes], count: int) -> tuple[Numbers, Numbers]:
    """Where each row leads to, at first to itself; and zeros."""
    # Written, not only mapped: a full disk raises an error here, and would end the process later.
    for places in _ranges(count):
        file.write(places.tobytes())
    for places in _ranges(count):
        file.write(bytes(places.nbytes))
    file.flush()
    earlier, zeros = np.memmap(file, np.int64, "r+", shape=(2, count)).view(np.ndarray)
    return earlier, zeros


def _join(earlier: Numbers, links: Numbers) -> None:
    """Let linked rows lead to the first row of what are then their groups."""
    ends = _roots(earlier, links)
    joined = forest(ends)
    earlier[joined[:, 1]] = joined[:, 0]
    earlier[links] = earlier[ends]


def _roots(earlier: Numbers, places: Numbers) -> Numbers:
    """Where rows lead to in the end."""
    while not np.array_equal(found := earlier[places], places):
        places = found
    return found


def _number_bins(sizes: Numbers, together: int) -> list[int]:
    """How many rows each bin has; its number, from -1 down, takes the place of a group's size."""
    counts: dict[int, int] = {}
    for places in _ranges(len(sizes)):
        firsts = places[sizes[places] > 1]
        ends = sum(counts.values()) + np.cumsum(sizes[firsts])
        # A group that is larger than a bin leaves no gap in the numbers.
        filled, bins = np.unique(ends // together, return_inverse=True)
        rows = np.bincount(bins, sizes[firsts], len(filled)).astype(int).tolist()
        for one, count in zip(filled.tolist(), rows, strict=True):
            counts[one] = counts.get(one, 0) + count
        sizes[firsts] = -1 - (len(counts) - len(filled) + bins)
    return list(counts.values())
