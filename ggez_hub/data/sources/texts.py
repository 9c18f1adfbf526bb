"""Text as strangers store it: JSON objects and names of files that may be no Unicode."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ggez_hub.data.sources.base import Unreadable

if TYPE_CHECKING:
    import pyarrow as pa


def json_object(content: bytes, what: str) -> dict[str, Any] | Unreadable:
    """The object of a line or a file, as `what` says."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return Unreadable(f"json: broken {what}")
    if not isinstance(value, dict):
        return Unreadable("json: no object")
    # Only an escape can write half of a pair, which no file can hold as text.
    if b"\\u" in content and not is_text(json.dumps(value, ensure_ascii=False)):
        return Unreadable("json: half of a surrogate pair")
    return value


def is_text(text: str) -> bool:
    """Whether a string can be written as UTF-8: names of files may hold other bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def table_rows(table: pa.Table | pa.RecordBatch) -> Iterator[dict[str, Any] | Unreadable]:
    """The rows of a table; one with bytes that are no UTF-8 costs itself alone."""
    try:
        yield from table.to_pylist()
    except UnicodeDecodeError:
        for place in range(table.num_rows):
            try:
                (row,) = table.slice(place, 1).to_pylist()
            except UnicodeDecodeError:
                yield Unreadable("parquet: no UTF-8")
            else:
                yield row
