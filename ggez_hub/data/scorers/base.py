"""What a reward scorer is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from ggez_hub.data.pictures import opened
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
