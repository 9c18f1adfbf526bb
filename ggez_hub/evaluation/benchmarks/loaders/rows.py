"""Rows of parquet, JSON Lines and CSV files, whose columns are what a loader says they are.

Values go through no data frame: the language `nan` stays text, and a whole number stays one.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.task import Columns
from ggez_hub.extras import require
from ggez_hub.parquet import read_pieces

if TYPE_CHECKING:
    import pyarrow as pa


class BadItems(GgezError):
    """A data file is not what the task says; the message names the column."""


@dataclass(frozen=True)
class Items:
    """The rows of a split, each a picture; N of everything.

    `pictures` are encoded files (PNG, WebP). A text is None where a picture has no name in the
    language: it is not asked for then, but stays among the pictures that are searched.
    """

    ids: tuple[str, ...]
    pictures: tuple[bytes, ...]
    texts: tuple[str | None, ...]
    groups: tuple[str, ...] | None

    def __len__(self) -> int:
        return len(self.ids)


def read_items(path: Path, columns: Columns) -> Items:
    """Read the columns that a task names; raises BadItems."""
    require("eval", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ggez_hub.parquet import FileTooLarge, read_pieces

    named = [columns.id, columns.image, columns.text, *([columns.group] if columns.group else [])]
    try:
        there = pq.read_schema(path)
        for name in named:
            if name not in there.names:
                raise BadItems(
                    f"{path} has no column {name!r}", f"Its columns are {', '.join(there.names)}."
                )
            _check_type(path, there, name, columns)
        table: dict[str, list[Any]] = {name: [] for name in named}
        for rows in read_pieces(path, list(table)):
            for name, values in table.items():
                values += [row[name] for row in rows]
    except (OSError, FileTooLarge, pa.ArrowException) as error:
        raise BadItems(f"{path} cannot be read as parquet: {error}") from error
    ids = _strings(path, table, columns.id)
    if len(set(ids)) != len(ids):
        raise BadItems(f"{path}: column {columns.id!r} has the same id twice")
    if not ids:
        raise BadItems(f"{path} has no rows")
    return Items(
        ids=ids,
        pictures=_pictures(path, table, columns.image),
        texts=_texts(path, table, columns.text),
        groups=_strings(path, table, columns.group) if columns.group else None,
    )


def _check_type(path: Path, schema: pa.Schema, name: str, columns: Columns) -> None:
    import pyarrow as pa

    kind = schema.field(name).type
    if name != columns.image:
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise BadItems(f"{path}: column {name!r} is {kind}, it should be string")
    elif not (
        pa.types.is_struct(kind)
        and {field.name for field in kind} == {"bytes", "path"}
        and pa.types.is_binary(kind.field("bytes").type)
    ):
        raise BadItems(
            f"{path}: column {name!r} is {kind}, it should be struct<bytes: binary, path: string>",
            "Write it with the Image feature of `datasets`.",
        )


def _strings(path: Path, table: Mapping[str, list[Any]], name: str) -> tuple[str, ...]:
    found = _texts(path, table, name)
    if None in found:
        raise BadItems(f"{path}: column {name!r} is null in row {found.index(None)}")
    return tuple(text for text in found if text is not None)


def _texts(path: Path, table: Mapping[str, list[Any]], name: str) -> tuple[str | None, ...]:
    found: tuple[str | None, ...] = tuple(table[name])
    for row, text in enumerate(found):
        if text is not None and not text.strip():
            raise BadItems(f"{path}: column {name!r} is blank in row {row}", "Make it null.")
    return found


def _pictures(path: Path, table: Mapping[str, list[Any]], name: str) -> tuple[bytes, ...]:
    rows = table[name]
    for row, value in enumerate(rows):
        if value is None or not value["bytes"]:
            raise BadItems(
                f"{path}: column {name!r} holds no picture in row {row}",
                "Embed the files: `datasets` keeps bytes in the parquet file with embed_external_files.",
            )
    return tuple(value["bytes"] for value in rows)


@dataclass(frozen=True)
class Row:
    """One row: `row[column]` where the column is asked for, `row.get(column)` where it may lack.

    number   of the row in its file, from 0
    """

    path: Path
    number: int
    values: Mapping[str, Any]

    def __getitem__(self, column: str) -> Any:
        return self.values[column]

    def get(self, column: str | None) -> Any:
        """The value of a column; None where the file has none of that name."""
        return self.values.get(column) if column else None

    def off(self, column: str, problem: str, hint: str = "") -> BadItems:
        """The error for a value: `problem` goes on from the name of the column."""
        return BadItems(f"{self.path}: column {column!r} {problem} in row {self.number}", hint)

    def check(self, column: str, kind: str) -> None:
        """Raise BadItems unless the value is of that kind."""
        value = self.values.get(column)
        if value is None and kind.endswith("?"):
            return
        what, holds = KINDS[kind.rstrip("?")]
        if not holds(value):
            found = "null" if value is None else f"{value!r:.60} ({type(value).__name__})"
            raise self.off(column, f"holds {found}, it should be {what}")


def read_rows(path: Path, columns: Mapping[str, str]) -> Iterator[Row]:
    """The rows of a file (columns: name -> one of KINDS; `?` after the kind admits null or absence).

    Those of parquet are decoded as they are asked for. Raises BadItems that names file, column and
    row, and where a file decodes to more than a data set of its size can.
    """
    reader = READERS.get(path.suffix)
    if reader is None:
        raise BadItems(f"{path} is no data file", f"Known: {', '.join(READERS)}.")
    try:
        yield from _checked(path, columns, *reader(path, columns))
    # Those of pyarrow are among these.
    except (OSError, ValueError, NotImplementedError, csv.Error) as error:
        raise BadItems(f"{path} cannot be read: {error}") from error


def _checked(
    path: Path, columns: Mapping[str, str], names: set[str], values: Iterator[dict[str, Any]]
) -> Iterator[Row]:
    needed = [name for name, kind in columns.items() if not kind.endswith("?")]
    if lost := [name for name in needed if name not in names]:
        raise BadItems(
            f"{path} has no column {lost[0]!r}",
            f"Its columns are {', '.join(sorted(names))}: another revision of the data set?",
        )
    for number, value in enumerate(values):
        row = Row(path, number, value)
        for name, kind in columns.items():
            row.check(name, kind)
        yield row


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _image(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and (isinstance(value.get("bytes"), bytes) or isinstance(value.get("path"), str))
        and isinstance(value.get("bytes"), bytes | None)
    )


KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "text": ("text that is not blank", _text),
    "any text": ("text", lambda v: isinstance(v, str)),
    "whole": ("a whole number", _whole),
    "text or whole": ("a text or a whole number", lambda v: _text(v) or _whole(v)),
    "texts": ("a list of texts", lambda v: isinstance(v, list) and bool(v) and all(map(_text, v))),
    "text or texts": (
        "a text, or a list of them",
        lambda v: _text(v) or (isinstance(v, list) and bool(v) and all(map(_text, v))),
    ),
    "image": ("a picture: struct<bytes, path>", _image),
}


def _parquet(path: Path, columns: Mapping[str, str]) -> tuple[set[str], Iterator[dict[str, Any]]]:
    require("eval", "pyarrow")
    import pyarrow.parquet as pq

    names = set(pq.read_schema(path).names)
    pieces = read_pieces(path, [name for name in columns if name in names])
    return names, chain.from_iterable(pieces)


def _jsonl(path: Path, columns: Mapping[str, str]) -> tuple[set[str], Iterator[dict[str, Any]]]:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise BadItems(f"{path} holds a line that is no JSON object")
    return {name for row in rows for name in row}, iter(rows)


def _csv(path: Path, columns: Mapping[str, str]) -> tuple[set[str], Iterator[dict[str, Any]]]:
    whole = {name for name, kind in columns.items() if kind.rstrip("?") == "whole"}

    def typed(row: dict[str, Any]) -> dict[str, Any]:
        # The file has no types: digits are a number where a number should be.
        return {
            name: int(value) if name in whole and _digits(value) else value
            for name, value in row.items()
        }

    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = [typed(row) for row in reader]
        return set(reader.fieldnames or ()), iter(rows)


def _digits(value: Any) -> bool:
    return isinstance(value, str) and value.removeprefix("-").isdecimal()


READERS: Mapping[
    str, Callable[[Path, Mapping[str, str]], tuple[set[str], Iterator[dict[str, Any]]]]
] = {".parquet": _parquet, ".jsonl": _jsonl, ".csv": _csv}
