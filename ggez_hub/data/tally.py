"""Counts and samples of what happened to examples; those of all parts add up."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple

from ggez_hub.data.examples import Example
from ggez_hub.data.rows import Row

KEPT = "kept"
# An example that was added, not one that was seen.
TRANSLATED = "translated"
# Examples that were compared with some of those that share a key, not with all.
CROWDED = "compared in part"
# Dropped duplicates that are not themselves like the row that stays.
UNLIKE = "duplicates unlike what stays"
HELD_OUT = "held-out examples"
UNREADABLE = "held-out examples that could not be read"
WITHOUT_PICTURE = "held-out examples whose picture could not be read"
DIMENSIONS = ("source", "country", "language", "format", "category")
_dimensions = attrgetter(*DIMENSIONS)
# Values of a dimension that are not listed.
REST = "(others)"
SAMPLES = 5
SAMPLE_TEXT = 200


class Sample(NamedTuple):
    """An example as the report shows it; `order` picks the same ones whoever counted them."""

    order: int
    id: str
    language: str
    country: str
    text: str
    note: str


@dataclass
class Tally:
    """Examples by dimensions and outcome: `kept`, or "stage: reason"."""

    counts: Counter[tuple[str, ...]] = field(default_factory=Counter)
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    evidence: Counter[tuple[str, str]] = field(default_factory=Counter)
    extra: Counter[str] = field(default_factory=Counter)

    def add(self, example: Example | Row, outcome: str, note: str = "") -> None:
        self.counts[*_dimensions(example), outcome] += 1
        order = zlib.crc32(example.id.encode("utf-8", "surrogatepass"))
        kept = self.samples.setdefault(outcome, [])
        if len(kept) == SAMPLES and order >= kept[-1].order:
            return
        text = example.text[:SAMPLE_TEXT]
        kept.append(Sample(order, example.id, example.language, example.country, text, note))
        kept.sort()
        del kept[SAMPLES:]

    def merge(self, other: Tally) -> None:
        self.counts.update(other.counts)
        self.evidence.update(other.evidence)
        self.extra.update(other.extra)
        for outcome, samples in other.samples.items():
            self.samples[outcome] = sorted([*self.samples.get(outcome, []), *samples])[:SAMPLES]

    def outcomes(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for (*_, outcome), count in self.counts.items():
            found[outcome] += count
        return found

    def by(self, dimension: str) -> dict[str, Counter[str]]:
        place = DIMENSIONS.index(dimension)
        found: dict[str, Counter[str]] = {}
        for key, count in self.counts.items():
            found.setdefault(key[place], Counter())[key[-1]] += count
        return found

    def document(self) -> dict[str, Any]:
        return {
            "counts": [[*key, count] for key, count in sorted(self.counts.items())],
            "samples": self.samples,
            "evidence": [[*key, count] for key, count in sorted(self.evidence.items())],
            "extra": dict(sorted(self.extra.items())),
        }

    @classmethod
    def of_document(cls, value: dict[str, Any]) -> Tally:
        return cls(
            counts=Counter({tuple(key): count for *key, count in value["counts"]}),
            samples={
                name: [Sample(*sample) for sample in found]
                for name, found in value["samples"].items()
            },
            evidence=Counter({tuple(key): count for *key, count in value["evidence"]}),
            extra=Counter(value["extra"]),
        )
