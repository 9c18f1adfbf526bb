"""The examples of a run, as a table on disk whose rows can be read in any order.

A row is one of the filter's output: id, image {bytes, path} or None, text, messages [{role,
content}], language, format. Where rows come from is a subclass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ggez_hub.cards.schema import DataFilter

if TYPE_CHECKING:
    import datasets

# What training reads of a row.
COLUMNS = ("id", "image", "text", "messages", "language", "format")

Row: TypeAlias = dict[str, Any]
Unused: TypeAlias = Callable[[Mapping[str, Any]], str | None]
"""Why a row is no example; None if it is one."""


class Examples(ABC):
    """Rows of one key of a recipe."""

    @abstractmethod
    def check(self) -> None:
        """Raise BadRecipe if there is no such data, or its columns are not there."""

    @property
    @abstractmethod
    def origin(self) -> DataFilter:
        """How the rows were selected, for the card."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """The sha256 of what decides the rows."""

    @property
    @abstractmethod
    def counts(self) -> Counter[str]:
        """How many rows there are, by language."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """About how much disk a copy takes; 0 for sources of a hub."""

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """All of them; raises BadRecipe for what cannot be read."""

    @abstractmethod
    def outlines(self) -> Iterator[Row]:
        """The rows without the content of their pictures."""

    @property
    def languages(self) -> list[str]:
        """The languages, the most frequent first; those that are known."""
        return [tag for tag, n in self.counts.most_common() if n and tag.isalpha() and len(tag) < 4]

    def sorted_out(self, unused: Unused) -> Counter[str | None]:
        """How many rows are not used, by reason, and with the reason None how many are."""
        return Counter(unused(row) for row in self.outlines())

    def table(self, cache: Path, unused: Unused) -> datasets.Dataset:
        """The rows that are used, in Arrow files below `cache`; raises what `rows` raises."""
        import datasets

        from ggez_hub.data.table import FEATURES

        kinds = datasets.Features.from_dict({name: FEATURES[name] for name in COLUMNS})
        kinds["image"] = datasets.Image(decode=False)
        datasets.disable_progress_bars()
        if all(unused(row) is not None for row in self.outlines()):
            return datasets.Dataset.from_dict({name: [] for name in COLUMNS}, features=kinds)
        try:
            return datasets.Dataset.from_generator(
                lambda: (row for row in self.rows() if unused(row) is None),
                features=kinds,
                cache_dir=str(cache),
                fingerprint=self.digest[:32],
            )
        except datasets.exceptions.DatasetGenerationError as error:
            # What stopped the generator is what there is to say.
            raise error.__cause__ or error from None


def reasons(sorted_out: Counter[str | None]) -> dict[str, int]:
    """Rows that are not used by reason, the commonest first."""
    return {reason: n for reason, n in sorted_out.most_common() if reason is not None}
