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

# Groups of items that the interval of alpha leaves out in turn.
MOST_GROUPS = 100
# A rater is flagged whose share of right gold answers is shown to be below this, by some of them, and
# one who took less than this share of the time that raters took in the middle.
GOLD_SHARE, FEWEST_GOLD = 0.8, 3
TIME_SHARE = 1 / 3


@dataclass(frozen=True)
class Agreement:
    """Krippendorff's alpha (1 complete agreement, 0 that of chance) with its 95 % interval over items.

    `units` were judged by two raters or more; NaN where there are none, or all values are the same.
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

    A unit is an output in the set that was shown. The interval is that of the
    jackknife over items (B. Efron, 1982, chapter 3), which needs no random numbers.
    """
    raters = len(np.unique(ratings.codes("rater")))
    units, items = _units(ratings)
    values, value = np.unique(ratings.value, return_inverse=True)
    counts = np.zeros((int(units.max(initial=-1)) + 1, len(values)), np.int64)
    np.add.at(counts, (units, value), 1)
    item = np.zeros(len(counts), np.int64)
    item[units] = items
    shared = counts.sum(axis=1) >= 2
    counts, item = counts[shared], item[shared]
    alpha = _alpha(counts)
    _, group = np.unique(item, return_inverse=True)
    groups = min(int(group.max(initial=-1)) + 1, MOST_GROUPS)
    if not math.isfinite(alpha) or groups < 2:
        return Agreement(alpha, math.nan, math.nan, len(counts), raters)
    without = np.array([_alpha(counts[group % groups != left_out]) for left_out in range(groups)])
    spread = (groups - 1) / groups * float(((without - without.mean()) ** 2).sum())
    half = t_quantile((1 + LEVEL) / 2, groups - 1) * math.sqrt(spread)
    return Agreement(alpha, alpha - half, min(alpha + half, 1.0), len(counts), raters)


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

    if (counts.sum(axis=0) > 0).sum() < 2:
        return math.nan
    used = counts[:, counts.sum(axis=0) > 0]
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
