"""How far raters agree with each other, with themselves, and with what is known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ggez_hub.evaluation.people.ratings import Floats, Integers, Mask, Ratings
from ggez_hub.extras import require
from ggez_hub.parity.intervals import LEVEL
from ggez_hub.parity.score_intervals import t_quantile, wilson

# Groups of items, groups of raters, and judgements that the interval of alpha leaves out in turn.
MOST_GROUPS, MOST_JUDGEMENTS = 100, 400
# A rater is flagged whose share of right gold answers is shown to be below this, by some of them, and
# one who took less than this share of the time that raters took in the middle.
GOLD_SHARE, FEWEST_GOLD = 0.8, 3
TIME_SHARE = 1 / 3


@dataclass(frozen=True)
class Agreement:
    """Krippendorff's alpha with its 95 % interval over raters and items.

    1 is complete agreement, 0 that of chance. `units` were judged by two raters or more; NaN where there are none, or all values are the same.
    """

    alpha: float
    low: float
    high: float
    units: int
    raters: int

    def as_dict(self) -> dict[str, Any]:
        interval = [self.low, self.high]
        return {"alpha": self.alpha, "interval": interval, "units": self.units, "raters": self.raters}  # fmt: skip


def agreement(ratings: Ratings) -> Agreement:
    """The agreement of raters on one measure, taken as ordered values.

    A unit is an output in the set that was shown.
    """
    raters = len(np.unique(ratings.codes("rater")))
    units, items = _units(ratings)
    _, value = np.unique(ratings.value, return_inverse=True)
    units, items, rater, value = _shared(units, items, ratings.codes("rater"), value)
    found = alpha_of(units, value)
    half = half_width(found, units, items, rater, value)
    low, high = found - half, min(found + half, 1.0) if math.isfinite(half) else math.nan
    return Agreement(found, low, high, int(units.max(initial=-1)) + 1, raters)


def alpha_of(units: Integers, values: Integers) -> float:
    """Krippendorff's alpha of judgements by the number of their unit and of their value; or NaN."""
    return _alpha(_counts(units, values))


def half_width(
    found: float, units: Integers, items: Integers, raters: Integers, values: Integers
) -> float:
    """Half of the 95 % interval of alpha, of judgements that all are of shared units; NaN if unknown.

    The jackknife (B. Efron, 1982, chapter 3) clustered in two ways: the variance between items plus
    that between raters less that of single judgements, never less than that between items. It
    needs no random numbers. `benchmarks/humans.py` measures how often it holds the truth.
    """
    counts = _counts(units, values)

    def without(group: Integers) -> Floats:
        """Alpha without each of the groups."""
        rows = [group == number for number in range(int(group.max()) + 1)]
        left = [counts - _counts(units[own], values[own], counts.shape) for own in rows]
        return np.array([_alpha(each) for each in left])

    def variance(codes: Integers) -> tuple[float, int]:
        _, group = np.unique(codes, return_inverse=True)
        left = without(group.ravel() % MOST_GROUPS)
        n = len(left)
        return (n - 1) / n * float(((left - left.mean()) ** 2).sum()), n

    if not math.isfinite(found) or min(len(np.unique(items)), len(np.unique(raters))) < 2:
        return math.nan
    of_items, n_items = variance(items)
    of_raters, n_raters = variance(raters)
    _, cell = np.unique(np.stack([items, raters]), axis=1, return_inverse=True)
    cells = int(cell.max()) + 1
    step = -(-cells // MOST_JUDGEMENTS)
    chosen = np.where(cell.ravel() % step == 0, cell.ravel() // step, -1)
    of_judgements = cells * float(np.mean((without(chosen) - found) ** 2))
    squared = max(of_items + of_raters - of_judgements, of_items)
    return t_quantile((1 + LEVEL) / 2, min(n_items, n_raters) - 1) * math.sqrt(squared)


def _shared(
    units: Integers, items: Integers, raters: Integers, values: Integers
) -> tuple[Integers, Integers, Integers, Integers]:
    """Those of units that two raters or more judged; the units are numbered anew."""
    rows = np.bincount(units)[units] >= 2
    return np.unique(units[rows], return_inverse=True)[1], items[rows], raters[rows], values[rows]


def _counts(units: Integers, values: Integers, shape: tuple[int, ...] | None = None) -> Integers:
    """(units, values): how often each unit was given each value."""
    shape = shape or (int(units.max(initial=-1)) + 1, int(values.max(initial=-1)) + 1)
    counts = np.zeros(shape, np.int64)
    np.add.at(counts, (units, values), 1)
    return counts


def _units(ratings: Ratings) -> tuple[Integers, Integers]:
    """The unit of each row, and its item. The set is what the judgement names, without its rater."""
    sets = [name.partition("/")[2].rpartition("|")[0] for name in ratings.names("judgement")]
    _, place = np.unique(np.array(sets, dtype=object), return_inverse=True)
    shown, model = place[ratings.codes("judgement")], ratings.codes("model")
    return (
        np.unique(np.stack([shown, model]), axis=1, return_inverse=True)[1].ravel(),
        ratings.codes("item"),
    )


def _alpha(counts: Integers) -> float:
    require("eval", "krippendorff")
    import krippendorff

    counts = counts[counts.sum(axis=1) >= 2]
    used = counts[:, counts.sum(axis=0) > 0]
    if used.shape[1] < 2:
        return math.nan
    return float(krippendorff.alpha(value_counts=used, level_of_measurement="ordinal"))


def consistency(ratings: Ratings, points: Floats) -> dict[str, Any]:
    """How alike raters judged what they judged twice: pairs, the share that is the same, the mean
    absolute difference of `points` (0-100)."""
    first, second = _twice(ratings)
    apart = np.abs(points[first] - points[second])
    n = len(apart)
    same = int((apart < 1e-9).sum())
    return {
        "pairs": n,
        "same": same / n if n else None,
        "interval": list(wilson(same, n)) if n else None,
        "difference": float(apart.mean()) if n else None,
    }


def _twice(ratings: Ratings) -> tuple[Integers, Integers]:
    """The rows of first judgements that were made again, and the rows of the second ones."""
    sets = np.array([name.rpartition("|")[0] for name in ratings.names("judgement")], dtype=object)
    _, place = np.unique(sets, return_inverse=True)
    codes = [place[ratings.codes("judgement")], *map(ratings.codes, ("model", "measure"))]
    _, key = np.unique(np.stack(codes), axis=1, return_inverse=True)
    key = key.ravel()
    again = np.flatnonzero(ratings.occurrence == 1)
    row_of = {int(key[row]): row for row in np.flatnonzero(ratings.occurrence == 0)}
    pairs = [(row_of[int(key[row])], row) for row in again if int(key[row]) in row_of]
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


@dataclass(frozen=True)
class RaterRecord:
    """What can be said of one rater; `flags` are reasons to look at the judgements, not to drop them."""

    rater: str
    side: str
    language: str
    judgements: int
    gold: int
    gold_right: int
    seconds: float
    flags: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "flags": list(self.flags)}


def rater_records(ratings: Ratings) -> tuple[RaterRecord, ...]:
    """Every rater; `seconds` is the median of a judgement, 0 where it is not known."""
    found = list(_records(ratings))
    timed = [record.seconds for record in found if record.seconds > 0]
    middle = float(np.median(timed)) if timed else 0.0
    return tuple(
        RaterRecord(**{**vars(record), "flags": tuple(_flags(record, middle))}) for record in found
    )


def _records(ratings: Ratings) -> Iterator[RaterRecord]:
    judgement, rater = ratings.codes("judgement"), ratings.codes("rater")
    _, first = np.unique(judgement, return_index=True)
    # Of a judgement with several values all have to be right.
    known = ratings.right >= 0
    wrong = np.zeros(len(ratings.names("judgement")), bool)
    wrong[judgement[ratings.right == 0]] = True
    asked = np.zeros(len(wrong), bool)
    asked[judgement[known]] = True
    for code in np.unique(rater):
        rows = first[rater[first] == code]
        gold: Mask = asked[judgement[rows]]
        right = gold & ~wrong[judgement[rows]]
        yield RaterRecord(
            ratings.names("rater")[code],
            ratings.names("rater_side")[ratings.codes("rater_side")[rows[0]]],
            ratings.names("rater_language")[ratings.codes("rater_language")[rows[0]]],
            len(rows),
            int(gold.sum()),
            int(right.sum()),
            float(np.median(ratings.seconds[rows])),
            (),
        )


def _flags(record: RaterRecord, middle: float) -> Iterator[str]:
    if record.gold >= FEWEST_GOLD and wilson(record.gold_right, record.gold)[1] < GOLD_SHARE:
        yield f"{record.gold_right} of {record.gold} known answers"
    if 0 < record.seconds < TIME_SHARE * middle:
        yield f"{record.seconds:.1f} s a judgement, others {middle:.1f} s"
