"""Rows of parquet, JSON Lines and CSV files, whose columns are checked.

Values go through no data frame: the language `nan` stays text, and a whole number stays one.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from ggez_hub.errors import GgezError
from ggez_hub.extras import require
from ggez_hub.parquet import read_pieces
from ggez_hub.text_files import pieces, read_lines


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

    def off(self, column: str, problem: str, hint: str = "") -> GgezError:
        """The error for a value; `problem` follows the name of the column."""
        return GgezError(f"{self.path}: column {column!r} {problem} in row {self.number}", hint)

    def option(self, column: str, count: int, first: int = 0) -> int:
        """The number from 0 of one of `count` options, in a column that counts from `first`."""
        value: int = self[column]
        if not first <= value < first + count:
            raise self.off(column, f"is {value}, it should be {first} to {first + count - 1}")
        return value - first


def read_rows(path: Path, columns: Mapping[str, str]) -> Iterator[Row]:
    """The rows of a file (columns: name -> KINDS; with `?` the value or the column may be missing).

    Parquet is decoded while it is read. Raises GgezError that names file, column and row, and where
    a file decodes to more than a data set of its size can.
    """
    reader = READERS.get(path.suffix)
    if reader is None:
        raise GgezError(f"{path} is not a data file", f"Known: {', '.join(READERS)}.")
    try:
        yield from _checked(path, columns, *reader(path, columns))
    # Those of pyarrow are among these.
    except (OSError, ValueError, RecursionError, NotImplementedError, csv.Error) as error:
        raise GgezError(f"{path} cannot be read: {error}") from error


def _checked(
    path: Path, columns: Mapping[str, str], names: set[str], values: Iterator[dict[str, Any]]
) -> Iterator[Row]:
    needed = [name for name, kind in columns.items() if not kind.endswith("?")]
    if lost := [name for name in needed if name not in names]:
        raise GgezError(
            f"{path} has no column {lost[0]!r}",
            f"Its columns are {', '.join(sorted(names))}: another revision of the data set?",
        )
    for number, value in enumerate(values):
        row = Row(path, number, value)
        for name, kind in columns.items():
            _check(row, name, kind)
        yield row


def _check(row: Row, column: str, kind: str) -> None:
    value = row.get(column)
    if value is None and kind.endswith("?"):
        return
    kinds = [KINDS[name] for name in kind.rstrip("?").split(" or ")]
    if not any(holds(value) for _, holds in kinds):
        found = "null" if value is None else f"{value!r:.60} ({type(value).__name__})"
        what = " or ".join(what for what, _ in kinds)
        raise row.off(column, f"holds {found}, it should be {what}")


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


DIGITS = re.compile(r"-?\d+")
# Kinds are combined: "text or whole", "image?".
KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "text": ("text that is not blank", _text),
    "any text": ("text", lambda v: isinstance(v, str)),
    "whole": ("a whole number", _whole),
    "texts": ("a list of texts", lambda v: isinstance(v, list) and bool(v) and all(map(_text, v))),
    "truth": ("true or false", lambda v: isinstance(v, bool)),
    "null": ("null", lambda v: v is None),
    "image": ("a picture: struct<bytes, path>", _image),
}
Reader: TypeAlias = Callable[[Path, Mapping[str, str]], tuple[set[str], Iterator[dict[str, Any]]]]


def _parquet(path: Path, columns: Mapping[str, str]) -> tuple[set[str], Iterator[dict[str, Any]]]:
    require("eval", "pyarrow")
    import pyarrow.parquet as pq

    names = set(pq.read_schema(path).names)
    rows = read_pieces(path, [name for name in columns if name in names])
    return names, chain.from_iterable(rows)


def _jsonl(path: Path, columns: Mapping[str, str]) -> tuple[set[str], Iterator[dict[str, Any]]]:
    rows = [json.loads(line.decode("utf-8-sig")) for line in read_lines(path)]
    if not all(isinstance(row, dict) for row in rows):
        raise GgezError(f"{path} holds a line that is not a JSON object")
    return {name for row in rows for name in row}, iter(rows)


def _csv(path: Path, columns: Mapping[str, str]) -> tuple[set[str], Iterator[dict[str, Any]]]:
    whole = {name for name, kind in columns.items() if kind.rstrip("?") == "whole"}

    def typed(row: dict[str, Any]) -> dict[str, Any]:
        # The file has no types: digits are a number where a number should be.
        return {
            name: int(value) if name in whole and DIGITS.fullmatch(value or "") else value
            for name, value in row.items()
        }

    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(pieces(file))
        rows = [typed(row) for row in reader]
        return set(reader.fieldnames or ()), iter(rows)


READERS: Mapping[str, Reader] = {".parquet": _parquet, ".jsonl": _jsonl, ".csv": _csv}
