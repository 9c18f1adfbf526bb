"""Rows of the filter, as values and as Arrow tables: between the stages, and of the output."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import starmap
from operator import attrgetter
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ggez_hub.cards.values import UNKNOWN
from ggez_hub.data.examples import Message

# When a batch is large enough, whichever comes first.
BATCH, BATCH_BYTES = 256, 1 << 25


class StoredPicture(TypedDict):
    """A picture as the output stores it, and as `datasets` reads it."""

    bytes: bytes
    path: str | None


class NamedScore(TypedDict):
    """A number of the source that is carried along."""

    name: str
    value: float


@dataclass(slots=True)
class Row:
    """An example in the filter; its fields are the columns of SCREENED, in their order.

    The fields up to `scores` are those of the output. `key`, `phash` and `minhash` are what
    duplicates are found by (see data.deduplication). `rules_held` is how many rules of the region
    held, `is_open` whether the rules on pictures have to decide. A held-out row has its picture's
    `sha256` and `portrait`; another one that is like it has its id in `leak`, and how in `leak_kind`.
    """

    id: str
    source: str
    image: StoredPicture | None = None
    text: str = ""
    messages: list[Message] = field(default_factory=list)
    language: str = UNKNOWN
    country: str = UNKNOWN
    category: str = UNKNOWN
    format: str = UNKNOWN
    reward: float | None = None
    translated_from: str | None = None
    scores: list[NamedScore] = field(default_factory=list)
    key: bytes = b""
    phash: int | None = None
    minhash: bytes | None = None
    rules_held: int = 0
    is_open: bool = False
    sha256: bytes | None = None
    portrait: bytes | None = None
    leak: str | None = None
    leak_kind: str | None = None


_TEXT, _BYTES = pa.string(), pa.binary()
_ARROW = {
    "str": _TEXT,
    "str | None": _TEXT,
    "bytes": _BYTES,
    "bytes | None": _BYTES,
    "bool": pa.bool_(),
    "int": pa.int32(),
    "int | None": pa.uint64(),
    "float | None": pa.float64(),
    "StoredPicture | None": pa.struct({"bytes": _BYTES, "path": _TEXT}),
    "list[Message]": pa.list_(pa.struct({"role": _TEXT, "content": _TEXT})),
    "list[NamedScore]": pa.list_(pa.struct({"name": _TEXT, "value": pa.float64()})),
}
_COLUMNS = [pa.field(column.name, _ARROW[str(column.type)]) for column in fields(Row)]
_OUTPUT = _COLUMNS[: next(n for n, column in enumerate(_COLUMNS, 1) if column.name == "scores")]


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """A type as `datasets` writes it."""
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if pa.types.is_struct(kind):
        return {part.name: _feature(part.type) for part in kind}
    return {"dtype": "float64" if kind == pa.float64() else str(kind), "_type": "Value"}


FEATURES = {column.name: _feature(column.type) for column in _OUTPUT} | {
    "image": {"_type": "Image"}
}
# What the output has: `datasets` reads its types from the metadata.
OUTPUT = pa.schema(_OUTPUT, metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})})
# What one stage hands to the next.
SCREENED = pa.schema(_COLUMNS)


def write_rows(path: Path, schema: pa.Schema, rows: Iterable[Row]) -> None:
    """Write the columns of a schema as an Arrow file, batch by batch."""
    values = attrgetter(*schema.names)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:

        def write(batch: list[Row]) -> None:
            columns = zip(*map(values, batch), strict=True)
            arrays = [pa.array(*column) for column in zip(columns, schema.types, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))

        batch: list[Row] = []
        size = 0
        for row in rows:
            batch.append(row)
            size += (len(row.image["bytes"]) if row.image else 0) + len(row.text)
            if len(batch) == BATCH or size >= BATCH_BYTES:
                write(batch)
                batch, size = [], 0
        if batch:
            write(batch)


def read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The batches of an Arrow file."""
    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_file(source) as reader:
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of an Arrow file with the columns of SCREENED."""
    for batch in read_batches(path):
        yield from starmap(Row, zip(*(column.to_pylist() for column in batch.columns), strict=True))


def read_columns(
    path: Path, names: Sequence[str], places: NDArray[np.int64] | None = None
) -> Iterator[tuple[Any, ...]]:
    """Some columns of an Arrow file with those of SCREENED, at places that ascend, or at all.

    Nothing else is read: pictures stay on the disk.
    """
    fields = [SCREENED.get_field_index(name) for name in names]
    options = pa.ipc.IpcReadOptions(included_fields=fields)
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source, options=options) as reader:
        stop = 0
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            start, stop = stop, stop + batch.num_rows
            if places is not None:
                low, high = np.searchsorted(places, [start, stop])
                batch = batch.take(pa.array(places[low:high] - start))
            yield from zip(*(batch[name].to_pylist() for name in names), strict=True)
