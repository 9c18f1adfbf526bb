"""Precision and recall of the region's rules against labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.data.examples import Example, ExampleBuilder, Malformed
from ggez_hub.data.picture_rule import PictureRules
from ggez_hub.data.pictures import BadPicture, look, picture_bytes
from ggez_hub.data.region_rules import combination
from ggez_hub.data.sources.jsonl import rows_of_file
from ggez_hub.data.spec import FilterSpec, PictureRule, SourceSpec
from ggez_hub.data.tally import Tally
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.parity.score_intervals import wilson

LABEL = "in_region"
ERRORS = 10


class BadLabels(GgezError):
    """A labelled file cannot be read; the message names the row."""


@dataclass(frozen=True)
class Share:
    """A share in per cent with its 95 % Wilson interval; all None of nothing."""

    n: int
    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, part: int, n: int) -> Share:
        """`part` of `n`."""
        if n == 0:
            return cls(0, None, None, None)
        low, high = wilson(part, n)
        return cls(n, 100 * part / n, 100 * low, 100 * high)

    def document(self) -> dict[str, float | int | None]:
        """As JSON values."""
        return {"n": self.n, "value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Rated:
    """How a rule, or all of them together, does."""

    name: str
    precision: Share
    recall: Share

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {"precision": self.precision.document(), "recall": self.recall.document()}


@dataclass(frozen=True)
class RuleAccuracy:
    """The rules together and each alone, and examples on which they were wrong together."""

    examples: int
    together: Rated
    alone: tuple[Rated, ...]
    kept_wrongly: tuple[str, ...]
    lost: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "examples": self.examples,
            "together": self.together.document(),
            "alone": {rated.name: rated.document() for rated in self.alone},
            "kept_wrongly": list(self.kept_wrongly),
            "lost": list(self.lost),
        }


def evaluate(
    spec: FilterSpec, folder: Path, labelled: Path, source: str | None = None
) -> RuleAccuracy:
    """Apply the region's rules to a file with the columns of a source and a boolean `in_region`.

    Raises BadLabels, BadSource, BadRule; UsageProblem for a source that the spec does not have.
    """
    rules = combination(spec.keep_region, spec.region, folder)
    pairs = list(_labelled(_source(spec, source), labelled))
    examples = [example for example, _ in pairs]
    labels = [label for _, label in pairs]
    # What each rule says of each example; two rules may have the same name.
    verdicts = [(e.name, [e(example) is True for example in examples]) for e in rules.evidence]
    verdicts += _pictures(spec, folder, examples, labelled.parent)
    count = [sum(found) for found in zip(*(found for _, found in verdicts), strict=True)]
    kept = [held >= rules.needed for held in count]
    wrong = [(e.id, k) for e, k, label in zip(examples, kept, labels, strict=True) if k != label]
    return RuleAccuracy(
        examples=len(examples),
        together=_rated("together", kept, labels),
        alone=tuple(_rated(name, found, labels) for name, found in verdicts),
        kept_wrongly=tuple(name for name, was_kept in wrong if was_kept)[:ERRORS],
        lost=tuple(name for name, was_kept in wrong if not was_kept)[:ERRORS],
    )


def _source(spec: FilterSpec, name: str | None) -> SourceSpec:
    for source in spec.sources:
        if name in {None, source.name}:
            return source
    names = ", ".join(source.name for source in spec.sources)
    raise UsageProblem(f"the spec has no source {name!r}", f"It has {names}.")


def _labelled(source: SourceSpec, path: Path) -> Iterator[tuple[Example, bool]]:
    builder = ExampleBuilder(source.name, source.reads)
    empty = True
    for number, row in rows_of_file(path):
        empty = False
        label = row.get(LABEL)
        if not isinstance(label, bool):
            raise BadLabels(
                f"{path}: row {number}: {LABEL} is {label!r}", "It has to be true or false."
            )
        for example in builder.examples(row, str(number)):
            if isinstance(example, Malformed):
                raise BadLabels(f"{path}: row {number}: {example.reason}")
            yield example, label
    if empty:
        raise BadLabels(f"{path} has no rows")


def _pictures(
    spec: FilterSpec, folder: Path, examples: Sequence[Example], pictures: Path
) -> list[tuple[str, list[bool]]]:
    """What the rules on pictures say; an example without a picture is not of the region."""
    rules = [rule for rule in spec.keep_region.rules if isinstance(rule, PictureRule)]
    if not rules:
        return []
    rows = [{"image": _image(example, pictures)} for example in examples]
    return [
        (
            rule.evidence,
            [n > 0 for n in PictureRules.of([rule], spec.region, folder).held(rows, Tally())],
        )
        for rule in rules
    ]


def _image(example: Example, pictures: Path) -> dict[str, bytes] | None:
    try:
        content = picture_bytes(example.picture, pictures)
        look(content)
    except BadPicture:
        return None
    return {"bytes": content}


def _rated(name: str, kept: Sequence[bool], labels: Sequence[bool]) -> Rated:
    right = sum(k and label for k, label in zip(kept, labels, strict=True))
    return Rated(name, Share.of(right, sum(kept)), Share.of(right, sum(labels)))
