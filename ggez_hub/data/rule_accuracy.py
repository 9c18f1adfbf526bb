"""Precision and recall of the region's rules against labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ggez_hub.data.examples import Example, ExampleBuilder, Unreadable
from ggez_hub.data.pictures import BadPicture, hash_picture, picture_bytes
from ggez_hub.data.region_rules import combination, picture_rules
from ggez_hub.data.rows import Row, StoredPicture
from ggez_hub.data.scorer_agreement import Share
from ggez_hub.data.sources.jsonl import rows_of_file
from ggez_hub.data.spec import FilterSpec, SourceSpec
from ggez_hub.data.tally import Tally
from ggez_hub.errors import GgezError, UsageProblem

LABEL = "in_region"
ERRORS = 10


@dataclass(frozen=True)
class Rated:
    """The precision and recall of a rule, or of all of them together."""

    precision: Share
    recall: Share

    @classmethod
    def of(cls, kept: Sequence[bool], labels: Sequence[bool]) -> Rated:
        right = sum(k and label for k, label in zip(kept, labels, strict=True))
        return cls(Share.of(right, sum(kept)), Share.of(right, sum(labels)))


@dataclass(frozen=True)
class RuleAccuracy:
    """The rules together and each alone, and examples on which they were wrong together."""

    examples: int
    together: Rated
    alone: list[tuple[str, Rated]]
    kept_wrongly: list[str]
    lost: list[str]

    def document(self) -> dict[str, Any]:
        return asdict(self) | {"alone": {name: asdict(rated) for name, rated in self.alone}}


def evaluate(
    spec: FilterSpec, folder: Path, labelled: Path, source: str | None = None
) -> RuleAccuracy:
    """Apply the region's rules to a file with a source's columns and a boolean `in_region`."""
    rules = combination(spec.keep_region, spec.region, folder)
    pairs = list(_labelled(_source(spec, source), labelled))
    examples = [example for example, _ in pairs]
    labels = [label for _, label in pairs]
    # Two rules may have the same name.
    verdicts = [(name, [check(e) is None for e in examples]) for name, check in rules.checks]
    verdicts += _pictures(spec, folder, examples, labelled.parent)
    held = [sum(found) for found in zip(*(found for _, found in verdicts), strict=True)]
    kept = [count >= rules.needed for count in held]
    wrong = [(e.id, k) for e, k, label in zip(examples, kept, labels, strict=True) if k != label]
    return RuleAccuracy(
        examples=len(examples),
        together=Rated.of(kept, labels),
        alone=[(name, Rated.of(found, labels)) for name, found in verdicts],
        kept_wrongly=[name for name, was_kept in wrong if was_kept][:ERRORS],
        lost=[name for name, was_kept in wrong if not was_kept][:ERRORS],
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
            raise GgezError(
                f"{path}: row {number}: {LABEL} is {label!r}", "It has to be true or false."
            )
        for example in builder.examples(row, str(number)):
            if isinstance(example, Unreadable):
                raise GgezError(f"{path}: row {number}: {example.reason}")
            yield example, label
    if empty:
        raise GgezError(f"{path} has no rows")


def _pictures(
    spec: FilterSpec, folder: Path, examples: Sequence[Example], pictures: Path
) -> list[tuple[str, list[bool]]]:
    """The verdicts of the rules on pictures; an example without a picture is not of the region."""
    rules = picture_rules(spec, folder)
    shown = examples if rules else []
    rows = [Row(example.id, example.source, _image(example, pictures)) for example in shown]
    return [("picture", rule.verdicts(rows, Tally())) for rule in rules]


def _image(example: Example, pictures: Path) -> StoredPicture | None:
    try:
        content = picture_bytes(example.picture, pictures)
        hash_picture(content)
    except BadPicture:
        return None
    return {"bytes": content, "path": None}
