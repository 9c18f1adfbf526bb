"""Examples as `ggez-hub filter` has written them; they are taken as they are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ggez_hub.cards.schema import DataFilter
from ggez_hub.recipe_file import BadRecipe
from ggez_hub.training.examples import COLUMNS, Examples, Row

BLOCK, REPORT, SHARDS = "data_filter.json", "report.json", "data/*.parquet"
# A picture's path says that there is one.
WITHOUT_PICTURES = tuple("image.path" if name == "image" else name for name in COLUMNS)
BATCH = 64


@dataclass(frozen=True)
class Filtered(Examples):
    """The folder of a filter; `key` is that of the recipe, for messages."""

    folder: Path
    key: str

    def check(self) -> None:
        import pyarrow.parquet as pq

        where = f"{self.key}.filtered"
        missing = [name for name in (BLOCK, REPORT) if not (self.folder / name).is_file()]
        if missing or not self._shards:
            raise BadRecipe(
                f"{where}: {self.folder} is no output of `ggez-hub filter`: it has no "
                f"{(missing or [SHARDS])[0]}",
                f"Write one with `ggez-hub filter`, or name other data under {self.key}.sources.",
            )
        for path in self._shards:
            names = pq.read_schema(path).names
            if lacking := [name for name in COLUMNS if name not in names]:
                raise BadRecipe(
                    f"{where}: {path} has no column {lacking[0]!r}",
                    f"Its columns are {', '.join(names)}.",
                )

    @property
    def origin(self) -> DataFilter:
        return DataFilter.model_validate(self._read(BLOCK)["data_filter"])

    @property
    def digest(self) -> str:
        """That of the filter's report."""
        return str(self._read(BLOCK)["report_digest"])

    @cached_property
    def counts(self) -> Counter[str]:
        languages = self._read(REPORT)["by"]["language"]
        return Counter({tag: row["kept"] + row["translated"] for tag, row in languages.items()})

    @property
    def nbytes(self) -> int:
        return sum(path.stat().st_size for path in self._shards)

    def rows(self) -> Iterator[Row]:
        return self._columns(COLUMNS)

    def outlines(self) -> Iterator[Row]:
        return self._columns(WITHOUT_PICTURES)

    @property
    def _shards(self) -> list[Path]:
        return sorted(self.folder.glob(SHARDS))

    def _read(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / name).read_text(encoding="utf-8"))
        return found

    def _columns(self, names: Sequence[str]) -> Iterator[Row]:
        import pyarrow.parquet as pq

        for path in self._shards:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(BATCH, columns=list(names)):
                    yield from batch.to_pylist()
