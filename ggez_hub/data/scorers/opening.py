"""Opening the scorer that a spec names, unless it may not be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ggez_hub.data.folders import same_model
from ggez_hub.data.scorers.base import Scorer, ScorerRefused
from ggez_hub.data.scorers.spec import ScorerSpec


def _column(spec: Any, base: Path) -> Scorer:
    from ggez_hub.data.scorers.column import ColumnScores

    return ColumnScores.of(spec, base)


def _clip(spec: Any, base: Path) -> Scorer:
    from ggez_hub.data.scorers.clip import ClipScore

    return ClipScore.of(spec, base)


def _generative(spec: Any, base: Path) -> Scorer:
    from ggez_hub.data.scorers.generative import UnifiedReward

    return UnifiedReward.of(spec, base)


def _endpoint(spec: Any, base: Path) -> Scorer:
    from ggez_hub.data.scorers.endpoint import EndpointScore

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
