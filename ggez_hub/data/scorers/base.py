"""What a reward scorer is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from ggez_hub.data.model_folders import same_model
from ggez_hub.data.pictures import opened
from ggez_hub.data.scorers.spec import ColumnScorer, ScorerSpec
from ggez_hub.errors import UsageProblem

# A row of the screened table (see ggez_hub.data.table): `image` with its bytes, `text`, `scores`.
Scored: TypeAlias = Mapping[str, Any]


class ScorerRefused(UsageProblem):
    """A scorer may not be used for this."""


class Scorer(Protocol):
    """A reward model, ready.

    `name` identifies it on the card; `languages` are those of the texts that it is made for.
    """

    @property
    def name(self) -> str: ...

    @property
    def languages(self) -> frozenset[str]: ...

    def score(self, rows: Sequence[Scored]) -> list[float | None]:
        """A score for each row; None where the scorer gave none."""
        ...


def with_pictures(rows: Sequence[Scored]) -> tuple[list[int], Iterator[Any]]:
    """The places of the rows that have a picture, and the pictures, RGB.

    They are decoded one by one: photographs would fill the memory if all were there at once.
    """
    places = [place for place, row in enumerate(rows) if row["image"]]
    return places, (opened(rows[place]["image"]["bytes"]).convert("RGB") for place in places)


@dataclass(frozen=True)
class ColumnScores:
    """The number of that name among a row's scores; none where the row has none."""

    column: str
    languages: frozenset[str]

    @classmethod
    def of(cls, spec: ColumnScorer, base: Path) -> ColumnScores:
        """The scorer of a spec."""
        del base
        return cls(spec.column, frozenset(spec.languages))

    @property
    def name(self) -> str:
        return f"column {self.column}"

    def score(self, rows: Sequence[Scored]) -> list[float | None]:
        return [
            next((s["value"] for s in row["scores"] or () if s["name"] == self.column), None)
            for row in rows
        ]


def _column(spec: Any, base: Path) -> Scorer:

    return ColumnScores.of(spec, base)


def _clip(spec: Any, base: Path) -> Scorer:
    from ggez_hub.data.scorers.clip_score import ClipScore

    return ClipScore.of(spec, base)


def _generative(spec: Any, base: Path) -> Scorer:
    from ggez_hub.data.scorers.unified_reward import UnifiedReward

    return UnifiedReward.of(spec, base)


def _endpoint(spec: Any, base: Path) -> Scorer:
    from ggez_hub.data.scorers.unified_reward import EndpointScore

    return EndpointScore.of(spec, base)


OPENERS: dict[str, Callable[[Any, Path], Scorer]] = {
    "column": _column,
    "clip_score": _clip,
    "unified_reward": _generative,
    "endpoint": _endpoint,
}


def open_scorer(
    spec: ScorerSpec, base: Path, *, trained: str | None = None, texts: frozenset[str] | None = None
) -> Scorer:
    """Open a scorer; relative paths start from `base`.

    `trained` is the base model under training, `texts` are the languages that the region's rules
    let through. Raises ScorerRefused if the scorer is that base, or is made for none of the
    languages; NoModel if it cannot be opened.
    """
    model = getattr(spec, "model", None)
    if model is not None and trained is not None and same_model(model, trained, base):
        raise ScorerRefused(
            f"the scorer {model} is the base under training",
            "It would keep what the base knows already: take another scorer.",
        )
    made_for = frozenset(spec.languages)
    if texts is not None and not made_for & texts:
        raise ScorerRefused(
            f"the scorer is made for {', '.join(sorted(made_for))}, and the region's rules keep "
            f"{', '.join(sorted(texts))} alone",
            "No example would get a score: take a scorer for these languages.",
        )
    return OPENERS[spec.kind](spec, base)
