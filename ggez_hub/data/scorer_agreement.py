"""How often a scorer orders a pair as people do.

Of two pictures, two texts, or both, people preferred one. A scorer agrees if it gives that one the
higher score; equal scores do not agree. Guessing agrees on half of the pairs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import compress
from pathlib import Path
from typing import Any, Literal

from ggez_hub.cards.values import UNKNOWN
from ggez_hub.data.locale_fields import language_tag
from ggez_hub.data.pictures import BadPicture, picture_bytes
from ggez_hub.data.rows import Row, StoredPicture
from ggez_hub.data.scorers.scorer import Scorer
from ggez_hub.data.sources.jsonl import rows_of_file
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.parity.score_intervals import wilson

Side = Literal["a", "b"]
PREFERRED = ("a", "b", "tie")
AT_ONCE = 128
CHANCE = 50.0


@dataclass(frozen=True)
class Share:
    """A share in per cent with its 95 % Wilson interval; all None of nothing."""

    n: int
    value: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, part: int, n: int) -> Share:
        """`part` of `n`."""
        if n == 0:
            return cls(0)
        low, high = wilson(part, n)
        return cls(n, 100 * part / n, 100 * low, 100 * high)


@dataclass(frozen=True)
class Pair:
    """What people compared: the rows that a scorer sees, and what they preferred."""

    language: str
    preferred: str
    a: Row
    b: Row


@dataclass(frozen=True)
class Agreement:
    """Agreement of a scorer with people, in per cent of the pairs that people decided.

    n           pairs in which people preferred one, and the scorer gave both a score
    ties        those to which the scorer gave equal scores: they do not count as agreement
    low, high   the 95 % Wilson interval
    undecided   pairs in which people preferred none; unscored: pairs without two scores. Both are
                left out of n
    """

    scorer: str
    pairs: str
    n: int
    agreed: int
    ties: int
    undecided: int
    unscored: int
    agreement: float | None
    low: float | None
    high: float | None
    by_language: dict[str, dict[str, Any]]

    @property
    def at_chance(self) -> bool:
        """Whether the interval includes guessing."""
        return self.low is None or self.high is None or self.low <= CHANCE <= self.high

    def document(self) -> dict[str, Any]:
        return {"kind": "reward-agreement", **asdict(self), "at_chance": self.at_chance}


def read_agreement(path: Path) -> dict[str, Any]:
    """What `document` gave, from a file; raises GgezError."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GgezError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict) or value.get("kind") != "reward-agreement":
        raise GgezError(f"{path} is not an agreement", "`ggez-hub reward agreement -o` writes one.")
    return value


def agreement(scorer: Scorer, path: Path, pictures: Path | None) -> Agreement:
    """Score the pairs of a file and compare; raises GgezError for a file that cannot be read."""
    counts: dict[str, Counter[str]] = {}
    pairs = list(read_pairs(path, pictures))
    for start in range(0, len(pairs), AT_ONCE):
        chunk = pairs[start : start + AT_ONCE]
        for pair, outcome in zip(chunk, _outcomes(scorer, chunk), strict=True):
            counts.setdefault(pair.language, Counter())[outcome] += 1
    total = sum(counts.values(), Counter[str]())
    return Agreement(
        scorer=scorer.name,
        pairs=sha256_file(path),
        **_agreed(total),
        agreed=total["agreed"],
        ties=total["ties"],
        undecided=total["undecided"],
        unscored=total["unscored"],
        by_language={
            language: row
            for language, count in sorted(counts.items())
            if (row := _agreed(count))["n"]
        },
    )


def _agreed(outcomes: Counter[str]) -> dict[str, Any]:
    """The share of the pairs that people and the scorer decided."""
    decided = sum(outcomes[name] for name in ("agreed", "disagreed", "ties"))
    share = Share.of(outcomes["agreed"], decided)
    return {"n": share.n, "agreement": share.value, "low": share.low, "high": share.high}


def _outcomes(scorer: Scorer, pairs: Sequence[Pair]) -> Iterator[str]:
    scored = [
        pair.preferred != "tie" and pair.language.partition("-")[0] in scorer.languages
        for pair in pairs
    ]
    asked = [row for pair in compress(pairs, scored) for row in (pair.a, pair.b)]
    scores = iter(scorer.score(asked))
    for pair, is_scored in zip(pairs, scored, strict=True):
        a, b = (next(scores), next(scores)) if is_scored else (None, None)
        if pair.preferred == "tie":
            yield "undecided"
        elif a is None or b is None:
            yield "unscored"
        elif a == b:
            yield "ties"
        else:
            yield "agreed" if (a > b) == (pair.preferred == "a") else "disagreed"


def read_pairs(path: Path, pictures: Path | None) -> Iterator[Pair]:
    """The pairs of JSON lines or parquet.

    Columns: preferred (a, b or tie); text, or text_a and text_b; image, or image_a and image_b
    (paths in `pictures`, or bytes and path); language; scores_a and scores_b, mappings from names
    to numbers, for scorers that read a column.
    """
    empty = True
    for number, row in rows_of_file(path):
        empty = False
        where = f"{path}: row {number}"
        if row.get("preferred") not in PREFERRED:
            raise GgezError(f"{where}: preferred is {row.get('preferred')!r}", "a, b or tie.")
        language = row.get("language")
        yield Pair(
            language=(language_tag(language) if isinstance(language, str) else None) or UNKNOWN,
            preferred=str(row["preferred"]),
            a=_side(where, row, "a", pictures),
            b=_side(where, row, "b", pictures),
        )
    if empty:
        raise GgezError(f"{path} has no pairs")


def _side(where: str, row: dict[str, Any], side: Side, pictures: Path | None) -> Row:
    text = row.get(f"text_{side}", row.get("text"))
    if text is not None and not isinstance(text, str):
        raise GgezError(f"{where}: the text of {side} is not text")
    cell = row.get(f"image_{side}", row.get("image"))
    image: StoredPicture | None = None
    if cell is not None:
        try:
            image = {"bytes": picture_bytes(cell, pictures or Path()), "path": None}
        except BadPicture as problem:
            raise GgezError(f"{where}: the picture of {side}: {problem.reason}") from problem
    scores = row.get(f"scores_{side}") or {}
    if not isinstance(scores, dict):
        raise GgezError(f"{where}: scores_{side} is not a mapping of names to numbers")
    return Row(
        id="",
        source="",
        image=image,
        text=text or "",
        scores=[{"name": name, "value": value} for name, value in scores.items()],
    )
