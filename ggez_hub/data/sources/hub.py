"""A dataset of the Hub at a commit, streamed by `datasets`; a part is one of its shards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from ggez_hub.data.examples import Unreadable
from ggez_hub.data.sources.base import (
    LOOKED_AT,
    BadSource,
    Extent,
    Reader,
    SourceRow,
    check_rows,
    check_schema,
    table_rows,
)
from ggez_hub.data.spec import SourceSpec
from ggez_hub.extras import require
from ggez_hub.hub.guard import guard_client

BATCH = 64


class HubReader(Reader):
    """A source that is streamed: HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE as everywhere."""

    def __init__(self, source: SourceSpec, folder: Path) -> None:
        assert source.hub is not None  # noqa: S101 - readers are chosen by the place of a source
        self._name, self._mapping, self._place = source.name, source.reads, source.hub

    @cached_property
    def _commit(self) -> str:
        if re.fullmatch(r"[0-9a-f]{40}", self._place.revision):
            return self._place.revision
        from ggez_hub.hub import Hub

        at = Hub.of_environment().at_commit(self._place.repo, self._place.revision, "dataset")
        return at.revision

    @cached_property
    def _stream(self) -> Any:
        require("data", "datasets")
        import datasets
        from huggingface_hub import constants, get_token

        guard_client(constants.ENDPOINT, get_token())
        datasets.disable_progress_bars()
        try:
            stream = datasets.load_dataset(
                self._place.repo,
                self._place.config,
                split=self._place.split,
                revision=self._commit,
                streaming=True,
            ).reshard()
        except (ValueError, FileNotFoundError) as error:
            raise BadSource(
                f"source {self._name}: {self._place.repo} cannot be read: {error}"
            ) from error
        if stream.features is not None:
            check_schema(self._name, self._mapping, stream.features.arrow_schema)
            columns = {column for column, _ in self._mapping.columns()}
            return stream.select_columns(sorted(columns)).with_format("arrow")
        check_rows(
            self._name,
            self._mapping,
            islice((SourceRow(str(n), row) for n, row in enumerate(stream)), LOOKED_AT),
        )
        return stream.with_format("arrow")

    def revision(self) -> str:
        return self._commit

    def extents(self) -> list[Extent]:
        return [Extent(0, shard, shard + 1) for shard in range(self._stream.num_shards)]

    def row_count(self) -> int | None:
        """As the card of the data set says."""
        split = (self._stream.info.splits or {}).get(self._place.split)
        return split.num_examples if split else None

    def rows(self, extent: Extent) -> Iterator[SourceRow]:
        shard = self._stream.shard(self._stream.num_shards, extent.start)
        number = 0
        try:
            for table in shard.iter(BATCH):
                for values in table_rows(table):
                    yield SourceRow(f"{extent.start}-{number}", values)
                    number += 1
        except (ValueError, TypeError) as error:
            # `datasets` cannot go on behind a row that it cannot convert.
            reason = f"shard: {type(error).__name__}"
            yield SourceRow(f"{extent.start}-{number}", Unreadable(reason))
