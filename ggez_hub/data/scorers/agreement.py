"""How often a scorer orders a pair as people do.

Of two pictures, two texts, or both, people preferred one. A scorer agrees if it gives that one the
higher score; equal scores do not agree. Guessing agrees on half of the pairs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ggez_hub.data.examples import UNKNOWN
from ggez_hub.data.locale_fields import language_tag
from ggez_hub.data.pictures import BadPicture, picture_bytes
from ggez_hub.data.scorers.base import Scorer
from ggez_hub.data.sources.jsonl import rows_of_file
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.scores import wilson
from ggez_hub.parity.score_intervals import wilson
from ggez_hub.safetensors_header import sha256_file

Side = Literal["a", "b"]
PREFERRED = ("a", "b", "tie")
AT_ONCE = 128
CHANCE = 50.0


class BadPairs(GgezError):
    """A file of pairs cannot be read; the message names the row and the column."""


@dataclass(frozen=True)
class Pair:
    """What people compared: the rows that a scorer sees, and what they preferred."""

    language: str
    preferred: str
    a: dict[str, Any]
    b: dict[str, Any]


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
    by_language: dict[str, dict[str, float | int]] = field(default_factory=dict)

    @property
    def at_chance(self) -> bool:
        """Whether the scorer cannot be told from guessing."""
        return self.low is None or self.high is None or self.low <= CHANCE <= self.high

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {"kind": "reward-agreement", **asdict(self), "at_chance": self.at_chance}


def read_agreement(path: Path) -> dict[str, Any]:
    """What `document` gave, from a file; raises BadPairs."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadPairs(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict) or value.get("kind") != "reward-agreement":
        raise BadPairs(f"{path} is no agreement", "`ggez-hub reward agreement -o` writes one.")
    return value


def agreement(scorer: Scorer, path: Path, pictures: Path | None) -> Agreement:
    """Score the pairs of a file and compare; raises BadPairs."""
    counts: Counter[tuple[str, str]] = Counter()
    pairs = list(read_pairs(path, pictures))
    for start in range(0, len(pairs), AT_ONCE):
        chunk = pairs[start : start + AT_ONCE]
        for pair, outcome in zip(chunk, _outcomes(scorer, chunk), strict=True):
            counts[pair.language, outcome] += 1
    total = _by_outcome(counts)
    agreed, n = total["agreed"], total["agreed"] + total["ties"] + total["disagreed"]
    low, high = wilson(agreed, n) if n else (None, None)
    languages = sorted({language for language, _ in counts})
    return Agreement(
        scorer=scorer.name,
        pairs=sha256_file(path),
        n=n,
        agreed=agreed,
        ties=total["ties"],
        undecided=total["undecided"],
        unscored=total["unscored"],
        agreement=100 * agreed / n if n else None,
        low=None if low is None else 100 * low,
        high=None if high is None else 100 * high,
        by_language={
            language: row
            for language in languages
            if (row := _language_row(Counter({o: counts[language, o] for o in OUTCOMES})))["n"]
        },
    )


OUTCOMES = ("agreed", "disagreed", "ties", "undecided", "unscored")


def _by_outcome(counts: Counter[tuple[str, str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for (_, outcome), count in counts.items():
        total[outcome] += count
    return total


def _language_row(total: Counter[str]) -> dict[str, float | int]:
    n = total["agreed"] + total["disagreed"] + total["ties"]
    if not n:
        return {"n": 0}
    low, high = wilson(total["agreed"], n)
    return {"n": n, "agreement": 100 * total["agreed"] / n, "low": 100 * low, "high": 100 * high}


def _outcomes(scorer: Scorer, pairs: Sequence[Pair]) -> Iterator[str]:
    scored = [
        pair
        for pair in pairs
        if pair.preferred != "tie" and pair.language.partition("-")[0] in scorer.languages
    ]
    scores = iter(scorer.score([row for pair in scored for row in (pair.a, pair.b)]))
    asked = {id(pair) for pair in scored}
    for pair in pairs:
        if pair.preferred == "tie":
            yield "undecided"
        elif id(pair) not in asked:
            yield "unscored"
        else:
            yield _outcome(next(scores), next(scores), pair.preferred)


def _outcome(a: float | None, b: float | None, preferred: str) -> str:
    if a is None or b is None:
        return "unscored"
    if a == b:
        return "ties"
    return "agreed" if (a > b) == (preferred == "a") else "disagreed"


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
            raise BadPairs(f"{where}: preferred is {row.get('preferred')!r}", "a, b or tie.")
        language = row.get("language")
        yield Pair(
            language=(language_tag(language) if isinstance(language, str) else None) or UNKNOWN,
            preferred=str(row["preferred"]),
            a=_side(where, row, "a", pictures),
            b=_side(where, row, "b", pictures),
        )
    if empty:
        raise BadPairs(f"{path} has no pairs")


def _side(where: str, row: dict[str, Any], side: Side, pictures: Path | None) -> dict[str, Any]:
    text = row.get(f"text_{side}", row.get("text"))
    if text is not None and not isinstance(text, str):
        raise BadPairs(f"{where}: the text of {side} is no text")
    cell = row.get(f"image_{side}", row.get("image"))
    image = None
    if cell is not None:
        try:
            image = {"bytes": picture_bytes(cell, pictures or Path())}
        except BadPicture as problem:
            raise BadPairs(f"{where}: the picture of {side}: {problem.reason}") from problem
    scores = row.get(f"scores_{side}") or {}
    if not isinstance(scores, dict):
        raise BadPairs(f"{where}: scores_{side} is no mapping of names to numbers")
    return {
        "text": text or "",
        "image": image,
        "scores": [{"name": name, "value": value} for name, value in scores.items()],
    }
