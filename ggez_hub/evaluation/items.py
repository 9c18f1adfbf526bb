"""The items of a split: rows of a parquet file as the `datasets` library writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.task import Columns
from ggez_hub.extras import require

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

    from ggez_hub.evaluation.bounded_parquet import TooMuch, read_pieces

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
    except (OSError, TooMuch, pa.ArrowException) as error:
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
