"""Groups of linked rows: the same as joining sets one link after the other gives, in flat memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from ggez_hub.data import duplicate_groups
from ggez_hub.data.duplicate_groups import PART, write_bins
from ggez_hub.data.duplicate_search import ADDED


def write_links(folder, links):
    """Each item of `links` as a file."""
    folder.mkdir(parents=True)
    found = []
    for number, some in enumerate(links):
        found.append(folder / f"{number:06d}.npy")
        np.save(found[-1], np.array(some, np.int64).reshape(-1, 2))
    return found


def bins_of(folder):
    return [np.load(path).tolist() for path in sorted(folder.iterdir())]


def joined_one_by_one(links, together):
    """The bins by the definition: groups by their first row, so many rows and what they begin."""
    group_of = {}
    for first, second in links:
        both = group_of.get(first, {first}) | group_of.get(second, {second})
        group_of |= dict.fromkeys(both, both)
    bins, rows = {}, 0
    for first in sorted(row for row, group in group_of.items() if row == min(group)):
        rows += len(group_of[first])
        bins.setdefault(rows // together, []).extend(group_of[first])
    return [sorted(each) for _, each in sorted(bins.items())]


@pytest.mark.parametrize("chunk", [3, 7, 1 << 16])
@pytest.mark.parametrize("together", [2, 9, 1 << 17])
def test_the_bins_are_those_of_joining_one_link_after_the_other(
    tmp_path, monkeypatch, chunk, together
):
    monkeypatch.setattr(duplicate_groups, "CHUNK", chunk)
    draw = np.random.default_rng(4)
    # Rows of parts with gaps between them, some added to the corpus.
    rows = draw.choice([part * PART + at for part in (0, 2, 5) for at in range(40)], 70, False)
    rows = np.concatenate([rows, rows[:9] + ADDED])
    files = [np.sort(draw.choice(rows, (length, 2)), axis=1) for length in (25, 0, 14)]
    write_bins(write_links(tmp_path / "links", files), tmp_path / "bins", together)
    links = [(a, b) for some in files for a, b in some.tolist() if a != b]
    found = bins_of(tmp_path / "bins")
    assert found == joined_one_by_one(links, together)
    assert len(found) > (together < 100)


def test_a_chain_whose_first_row_comes_last_is_one_group(tmp_path, monkeypatch):
    monkeypatch.setattr(duplicate_groups, "CHUNK", 1)
    links = write_links(tmp_path / "links", [[(n, n + 1)] for n in reversed(range(50))])
    write_bins(links, tmp_path / "bins", 10)
    assert bins_of(tmp_path / "bins") == [[*range(51)]]


@pytest.mark.parametrize("links", [[], [[]]], ids=["without a file", "an empty file"])
def test_without_links_there_is_no_bin(tmp_path, links):
    write_bins(write_links(tmp_path / "links", links), tmp_path / "gone" / "bins", 10)
    assert not (tmp_path / "gone").exists()


def test_memory_does_not_grow_with_the_rows(tmp_path, monkeypatch):
    """Rows that share one key, four times as many: their links alone are 320 kB and 1.3 MB."""
    monkeypatch.setattr(duplicate_groups, "CHUNK", 1 << 10)
    peaks = []
    for rows in (5_000, 20_000, 80_000):
        links = np.stack([np.zeros(rows, int), np.arange(1, rows + 1)], axis=1)
        files = write_links(tmp_path / f"links-{rows}", [links])
        tracemalloc.start()
        write_bins(files, tmp_path / f"bins-{rows}", 1 << 10)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The first one may import what it needs.
    assert peaks[2] < 1.5 * peaks[1]
    assert peaks[2] < 400_000
    assert bins_of(tmp_path / "bins-80000") == [[*range(80_001)]]


def test_nothing_is_left_beside_the_bins(tmp_path):
    links = write_links(tmp_path / "links", [[(0, 1), (2, 3)]])
    write_bins(links, tmp_path / "bins", 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bins", "links"]
    assert [path.name for path in sorted((tmp_path / "bins").iterdir())] == [
        "000000.npy",
        "000001.npy",
    ]
