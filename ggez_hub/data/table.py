"""Examples as Arrow tables: those between the stages, and those of the output."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

# When a batch is large enough, whichever comes first.
BATCH, BATCH_BYTES = 256, 1 << 25

_TEXT = {"dtype": "string", "_type": "Value"}
_NUMBER = {"dtype": "float64", "_type": "Value"}
FEATURES = {
    "id": _TEXT,
    "source": _TEXT,
    "image": {"_type": "Image"},
    "text": _TEXT,
    "messages": {"feature": {"role": _TEXT, "content": _TEXT}, "_type": "List"},
    "language": _TEXT,
    "country": _TEXT,
    "category": _TEXT,
    "format": _TEXT,
    "reward": _NUMBER,
    "translated_from": _TEXT,
    "scores": {"feature": {"name": _TEXT, "value": _NUMBER}, "_type": "List"},
}

_FIELDS = [
    pa.field("id", pa.string()),
    pa.field("source", pa.string()),
    pa.field("image", pa.struct({"bytes": pa.binary(), "path": pa.string()})),
    pa.field("text", pa.string()),
    pa.field("messages", pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))),
    pa.field("language", pa.string()),
    pa.field("country", pa.string()),
    pa.field("category", pa.string()),
    pa.field("format", pa.string()),
    pa.field("reward", pa.float64()),
    pa.field("translated_from", pa.string()),
    pa.field("scores", pa.list_(pa.struct({"name": pa.string(), "value": pa.float64()}))),
]
# What the output has: `datasets` reads its types from the metadata.
OUTPUT = pa.schema(_FIELDS, metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})})
# What one stage hands to the next: the signatures (see ggez_hub.data.deduplication.Item), how many
# rules of the region held, and whether the rules on pictures have to decide; of a row that is held
# out its picture's sha256 and portrait, of another the held-out example that it is like, and how.
SCREENED = pa.schema(
    [
        *_FIELDS,
        pa.field("key", pa.binary()),
        pa.field("phash", pa.uint64()),
        pa.field("minhash", pa.binary()),
        pa.field("held", pa.int32()),
        pa.field("open", pa.bool_()),
        pa.field("sha256", pa.binary()),
        pa.field("portrait", pa.binary()),
        pa.field("leak", pa.string()),
        pa.field("leak_kind", pa.string()),
    ]
)


def write_rows(path: Path, schema: pa.Schema, rows: Iterable[dict[str, Any]]) -> int:
    """Write rows as an Arrow file, batch by batch; returns how many."""
    count = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        batch: list[dict[str, Any]] = []
        size = 0
        for row in rows:
            batch.append(row)
            size += _size(row)
            if len(batch) == BATCH or size >= BATCH_BYTES:
                writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))
                count += len(batch)
                batch.clear()
                size = 0
        if batch:
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))
            count += len(batch)
    return count


def _size(row: dict[str, Any]) -> int:
    """About the bytes of a row: its picture and its text."""
    image = row.get("image")
    return (len(image["bytes"]) if image else 0) + len(row.get("text") or "")


def read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The batches of an Arrow file."""
    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_file(source) as reader:
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of an Arrow file."""
    for batch in read_batches(path):
        yield from batch.to_pylist()
