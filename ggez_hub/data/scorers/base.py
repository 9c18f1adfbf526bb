"""What a reward scorer is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from ggez_hub.errors import GgezError, UsageProblem

# A row of the screened table (see ggez_hub.data.table): `image` with its bytes, `text`, `scores`.
Scored: TypeAlias = Mapping[str, Any]


class ScorerRefused(UsageProblem):
    """A scorer may not be used for this."""


class ScorerFailed(GgezError):
    """A scorer could not answer at all."""


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
