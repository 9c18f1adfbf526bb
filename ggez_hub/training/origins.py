"""Where all that a run was trained on came from, for its card: licences and leakage rest on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ggez_hub.cards.schema import DataFilter

UNKNOWN, NONE = "unknown", "none"


@dataclass(frozen=True)
class Before:
    """A stage that came before the last one: its data, and what it took of them."""

    name: str
    origin: DataFilter
    examples: int
    steps: int

    @property
    def figures(self) -> dict[str, Any]:
        """Under flat names, as hyper-parameters are."""
        return {
            f"{self.name}.examples": self.examples,
            f"{self.name}.steps": self.steps,
            **selection(self.name, self.origin),
        }


def selection(name: str, origin: DataFilter) -> dict[str, Any]:
    """Which data those of `name` are, in a few flat figures."""
    found: dict[str, Any] = {f"{name}.spec_digest": origin.spec_digest}
    if not isinstance(origin.sources, str):
        found[f"{name}.sources"] = [f"{source.repo}@{source.revision}" for source in origin.sources]
    if not isinstance(origin.counts, str):
        found[f"{name}.rows"] = origin.counts.kept
    return found


def together(last: DataFilter, before: Sequence[Before]) -> DataFilter:
    """The data of the last stage with the sources, rules and translators of those before it.

    Counts, reward and digest are those of the last stage.
    """
    found = last
    for stage in before:
        own = stage.origin
        found = found.model_copy(
            update={
                "sources": _both(found.sources, own.sources),
                "rules": _both(
                    found.rules,
                    own.rules
                    if own.rules == UNKNOWN
                    else [f"{stage.name}: {r}" for r in own.rules],
                ),
                "translator": _translator(found.translator, own.translator),
            }
        )
    return found


def _both(one: Any, other: Any) -> Any:
    if UNKNOWN in (one, other):
        return UNKNOWN
    return [*one, *(value for value in other if value not in one)]


def _translator(one: str, other: str) -> str:
    if other in (one, NONE):
        return one
    return other if one == NONE else UNKNOWN
