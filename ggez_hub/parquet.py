"""Parquet files of strangers, read with a bound on what they decode to, and a piece at a time.

A file of a megabyte can stand for terabytes: a value that repeats takes a few bytes for any number of
rows. So texts stay in the dictionaries of their pages until their total size is known, and of
pictures so few rows are decoded at once that their chunk, were every one as large as all of it, fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# A sweep of 21 betas over 200,000 questions has 4.2 million answers.
MAX_ROWS = 10_000_000
MAX_BYTES = 2_000_000_000  # of the columns when they are decoded
# Of a data set: pictures are packed already, so that a large file is about as large decoded.
EXPANSION = 4
ROWS_AT_A_TIME = 1 << 16
ROWS_OF_PICTURES = 256
BYTES_AT_A_TIME = 256_000_000


class FileTooLarge(ValueError):
    """A file decodes to more than it may."""


# A file ends with its footer, the footer's length and this mark.
MARK = b"PAR1"
TAIL = 4 + len(MARK)
MAX_FOOTER = 64_000_000


def read_footer(size: int, read: Callable[[int, int], bytes]) -> pq.FileMetaData:
    """The metadata of a file of `size` bytes, of which `read(start, end)` reads a range.

    Raises ValueError for what is not Parquet, and FileTooLarge.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tail = read(max(0, size - TAIL), size)
    length = int.from_bytes(tail[:4], "little")
    if len(tail) != TAIL or tail[4:] != MARK or length + TAIL > size:
        raise ValueError("it does not end as a Parquet file does")
    if length > MAX_FOOTER:
        raise FileTooLarge(f"its footer has {length:,} bytes")
    footer = read(size - TAIL - length, size - TAIL)
    return pq.read_metadata(pa.BufferReader(MARK + footer + tail))


def read_bounded(
    path: Path, schema: pa.Schema, *, max_rows: int = MAX_ROWS, max_bytes: int = MAX_BYTES
) -> pa.Table:
    """The table of a file whose schema is known to be `schema`.

    Raises FileTooLarge, OSError and what pyarrow raises for a broken file.
    """
    import pyarrow as pa

    batches = [
        pa.Table.from_batches([batch])
        for batch in _batches(path, schema.names, max_rows, max_bytes, BYTES_AT_A_TIME)
    ]
    return pa.concat_tables(batches).cast(schema) if batches else schema.empty_table()


def read_pieces(
    path: Path,
    columns: Sequence[str],
    *,
    max_rows: int = MAX_ROWS,
    max_bytes: int = MAX_BYTES,
    at_a_time: int = BYTES_AT_A_TIME,
) -> Iterator[list[dict[str, Any]]]:
    """The rows of a data set's file, some at a time: memory grows with its row groups, not with it.

    Raises as `read_batches` does.
    """
    for batch in read_batches(
        path, columns, max_rows=max_rows, max_bytes=max_bytes, at_a_time=at_a_time
    ):
        yield batch.to_pylist()


def read_batches(
    path: Path,
    columns: Sequence[str],
    groups: Sequence[int] | None = None,
    *,
    max_rows: int = MAX_ROWS,
    max_bytes: int = MAX_BYTES,
    at_a_time: int = BYTES_AT_A_TIME,
) -> Iterator[pa.RecordBatch]:
    """The same as batches, of all row groups or of these.

    A file may decode to more than `max_bytes` only if it is itself large: EXPANSION times its size.
    Raises as `read_bounded` does.
    """
    import pyarrow as pa

    max_bytes = max(max_bytes, EXPANSION * path.stat().st_size)
    for batch in _batches(path, columns, max_rows, max_bytes, at_a_time, groups):
        yield batch
        pa.default_memory_pool().release_unused()


def _batches(
    path: Path,
    columns: Sequence[str],
    max_rows: int,
    max_bytes: int,
    at_a_time: int,
    groups: Sequence[int] | None = None,
) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    named = set(columns)
    with pq.ParquetFile(path) as file:
        packed = [f for f in file.schema_arrow if f.name in named and _holds_bytes(f.type)]
        texts = list(_texts(file, named - {field.name for field in packed}))
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        if file.metadata.num_rows > max_rows:
            raise FileTooLarge(f"{path} has more than {max_rows:,} rows")
        # The least that a value takes, before any of them is decoded: lists may be of any length.
        groups = range(file.num_row_groups) if groups is None else groups
        chunks = _chunks(file, named, groups)
        _refuse_bytes(path, sum(max(c.num_values, _size(c)) for c in chunks), max_bytes)
        nbytes = 0
        for group in groups:
            most = ROWS_AT_A_TIME
            if packed:
                # No value is larger than its chunk.
                largest = max(map(_size, _chunks(file, named, [group])))
                most = min(max(at_a_time // max(largest, 1), 1), ROWS_OF_PICTURES)
            # A group at a time: what is read ahead is of the groups that are asked for.
            for batch in file.iter_batches(most, row_groups=[group], columns=list(columns)):
                nbytes += sum(map(_decoded_bytes, batch.columns))
                _refuse_bytes(path, nbytes, max_bytes)
                yield batch


def _chunks(file: pq.ParquetFile, named: set[str], groups: Iterable[int]) -> Iterator[Any]:
    """The metadata of the columns of row groups."""
    for group in map(file.metadata.row_group, groups):
        for chunk in map(group.column, range(group.num_columns)):
            if chunk.path_in_schema.partition(".")[0] in named:
                yield chunk


def _size(chunk: Any) -> int:
    return int(chunk.total_uncompressed_size)


def _texts(file: pq.ParquetFile, named: set[str]) -> Iterator[str]:
    """The paths of texts, those of lists included."""
    schema = file.schema
    for column in map(schema.column, range(len(schema.names))):
        if column.path.partition(".")[0] in named and column.physical_type == "BYTE_ARRAY":
            yield column.path


def _holds_bytes(kind: pa.DataType) -> bool:
    """Whether there are bytes in a type, as there are in that of pictures."""
    import pyarrow as pa

    if pa.types.is_nested(kind):
        return any(_holds_bytes(kind.field(n).type) for n in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _refuse_bytes(path: Path, nbytes: int, max_bytes: int) -> None:
    if nbytes > max_bytes:
        raise FileTooLarge(f"{path} has more than {max_bytes:,} bytes when it is decoded")


def _decoded_bytes(column: pa.Array) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return 8 * len(column) + _decoded_bytes(column.flatten())
    if not pa.types.is_dictionary(kind):
        return int(column.nbytes)
    if not (pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type)):
        return 8 * len(column)
    lengths = pc.binary_length(column.dictionary).take(column.indices)
    return int(pc.sum(lengths).as_py() or 0) + 4 * len(column)
