"""What every reader of a source gives, and what a source has to hold."""

from __future__ import annotations

import glob
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import types

from ggez_hub.contained_files import require_contained_files
from ggez_hub.data.examples import Unreadable
from ggez_hub.data.mapping import ColumnMapping, Role
from ggez_hub.data.spec import SourceSpec
from ggez_hub.digests import digest_json, sha256_file
from ggez_hub.errors import GgezError

# How many rows of a source without a schema are looked at before it is read.
LOOKED_AT = 100
EXPECTED: dict[Role, str] = {
    "scalar": "text or numbers",
    "picture": "pictures (struct<bytes, path>, or bytes) or paths",
    "text": "text",
    "texts": "lists of text",
    "number": "numbers",
    "index": "whole numbers",
    "turns": "lists of struct<from, value>",
}


class BadSource(GgezError):
    """A source cannot be read, or a column is not what the mapping says."""


class SourceRow(NamedTuple):
    """A row with a number that is the same whenever it is read."""

    number: str
    values: dict[str, Any] | Unreadable


class Extent(NamedTuple):
    """A part of a source: of a file (or shard), from `start` until before `stop`."""

    file: int
    start: int
    stop: int


class Reader(ABC):
    """A source that is open."""

    @abstractmethod
    def revision(self) -> str:
        """What identifies the content: a commit, or the sha256 of the files' sha256s."""

    @abstractmethod
    def extents(self) -> list[Extent]:
        """The parts, in the order of the output."""

    @abstractmethod
    def rows(self, extent: Extent) -> Iterator[SourceRow]:
        """The rows of a part."""

    def nbytes(self) -> int:
        """The bytes of its files on this machine."""
        return 0

    def row_count(self) -> int | None:
        """About how many rows it has; None where only reading all of it would say."""
        return None


class FileReader(Reader):
    """A source of files; the columns of its first rows are checked."""

    def __init__(self, source: SourceSpec, folder: Path) -> None:
        self._files = self.found(source, folder)
        self.check(source)

    def found(self, source: SourceSpec, folder: Path) -> list[Path]:
        """The files, sorted and each once; raises BadSource if a glob matches nothing, UnsafeFile."""
        globs = getattr(source, source.place)
        found: set[Path] = set()
        for pattern in [globs] if isinstance(globs, str) else globs:
            # Path.glob refuses an absolute pattern.
            matched = [Path(path) for path in glob.glob(str(folder / pattern), recursive=True)]  # noqa: PTH207
            files = [path for path in matched if path.is_file()]
            if not files:
                raise BadSource(
                    f"source {source.name}: there is no {'file' if matched else pattern} in "
                    f"{folder / pattern if matched else folder}",
                    "Relative paths start from the folder of the spec.",
                )
            # The folder is whatever the spec says, up to the first `*`; what is in it is a stranger's.
            parts = (folder / pattern).parts
            plain = takewhile(lambda part: not glob.has_magic(part), parts[:-1])
            require_contained_files(Path(*plain), files)
            found.update(files)
        return sorted(found)

    def check(self, source: SourceSpec) -> None:
        """Raise BadSource if a column of the mapping is not there."""
        rows = (row for extent in self.extents() for row in self.rows(extent))
        check_rows(source.name, source.reads, islice(rows, LOOKED_AT))

    def revision(self) -> str:
        # Paths start from the folder that has all files.
        root = os.path.commonpath([path.parent for path in self._files])
        with ThreadPoolExecutor(2) as pool:
            digests = list(pool.map(sha256_file, self._files))
        paths = [shown(path.relative_to(root)) for path in self._files]
        return digest_json(sorted(zip(paths, digests, strict=True)))

    def nbytes(self) -> int:
        return sum(path.stat().st_size for path in self._files)


def shown(path: Path) -> str:
    """A path as text: bytes that are not UTF-8 are replaced."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")


def check_rows(name: str, mapping: ColumnMapping, rows: Iterable[SourceRow]) -> None:
    """Raise BadSource if a column of the mapping is in none of the rows."""
    readable = [row.values for row in rows if isinstance(row.values, dict)]
    seen = {column for values in readable for column in values}
    for column, _ in mapping.columns() if readable else ():
        if column not in seen:
            looked = f"{len(readable)} row{'s' if len(readable) != 1 else ''}"
            raise BadSource(
                f"source {name}: there is no column {column!r} in its first {looked}",
                f"Its columns are {', '.join(sorted(seen))}.",
            )


def check_schema(name: str, mapping: ColumnMapping, schema: pa.Schema) -> None:
    """Raise BadSource if a column is absent, or of a type that the mapping cannot read."""
    for column, role in mapping.columns():
        if column not in schema.names:
            raise BadSource(
                f"source {name}: there is no column {column!r}",
                f"Its columns are {', '.join(schema.names)}.",
            )
        kind = schema.field(column).type
        if not _fits(role, kind):
            raise BadSource(
                f"source {name}: column {column!r} is {kind}, it should hold {EXPECTED[role]}",
                "Another revision of the data, perhaps: name the columns under `columns`.",
            )


def _fits(role: Role, kind: pa.DataType) -> bool:
    if types.is_dictionary(kind):
        # Words that recur are often stored once: pandas calls that categories.
        kind = kind.value_type
    text, listed = _is_text(kind), types.is_list(kind) or types.is_large_list(kind)
    number = types.is_integer(kind) or types.is_floating(kind)
    checks: dict[Role, bool] = {
        "scalar": text or number,
        "picture": text
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or (types.is_struct(kind) and {field.name for field in kind} == {"bytes", "path"}),
        "text": text,
        "texts": text or (listed and _is_text(kind.value_type)),
        "number": number,
        "index": types.is_integer(kind) or text,
        "turns": listed
        and types.is_struct(kind.value_type)
        and {"from", "value"} <= {field.name for field in kind.value_type},
    }
    # A column of nothing but null has no type of its own.
    return types.is_null(kind) or checks[role]


def _is_text(kind: pa.DataType) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def json_object(content: bytes, what: str) -> dict[str, Any] | Unreadable:
    """The object of a line or a file, as `what` says."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return Unreadable(f"json: broken {what}")
    if not isinstance(value, dict):
        return Unreadable("json: not an object")
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
    """The rows of a table; one with bytes that are not UTF-8 is the only one lost."""
    try:
        columns = {n: _values(c) for n, c in zip(table.schema.names, table.columns, strict=True)}
    except UnicodeDecodeError:
        if table.num_rows == 1:
            yield Unreadable("parquet: not UTF-8")
        else:
            for place in range(table.num_rows):
                yield from table_rows(table.slice(place, 1))
    else:
        for place in range(table.num_rows):
            yield {name: values[place] for name, values in columns.items()}


def _values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """The values of a column; one that is stored once is converted once, and not for each row."""
    if not isinstance(column, pa.DictionaryArray):
        found: list[Any] = column.to_pylist()
        return found
    used = column.indices.unique()
    value_of = dict(zip(used.to_pylist(), column.dictionary.take(used).to_pylist(), strict=True))
    return [value_of[index] for index in column.indices.to_pylist()]
