"""The items of a split: rows of a parquet file as the `datasets` library writes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.extras import require
from ggez_hub.evaluation.task import Columns

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
    require("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    named = [columns.id, columns.image, columns.text, *([columns.group] if columns.group else [])]
    try:
        there = pq.read_schema(path).names
        for name in named:
            if name not in there:
                raise BadItems(
                    f"{path} has no column {name!r}", f"Its columns are {', '.join(there)}."
                )
        table = pq.read_table(path, columns=list(dict.fromkeys(named)))
    except (OSError, pa.ArrowInvalid) as error:
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


def _strings(path: Path, table: pa.Table, name: str) -> tuple[str, ...]:
    found = _texts(path, table, name)
    if None in found:
        raise BadItems(f"{path}: column {name!r} is null in row {found.index(None)}")
    return tuple(text for text in found if text is not None)


def _texts(path: Path, table: pa.Table, name: str) -> tuple[str | None, ...]:
    import pyarrow as pa

    column = table.column(name)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise BadItems(f"{path}: column {name!r} is {column.type}, it should be string")
    found: tuple[str | None, ...] = tuple(column.to_pylist())
    for row, text in enumerate(found):
        if text is not None and not text.strip():
            raise BadItems(f"{path}: column {name!r} is blank in row {row}", "Make it null.")
    return found


def _pictures(path: Path, table: pa.Table, name: str) -> tuple[bytes, ...]:
    import pyarrow as pa

    kind = table.schema.field(name).type
    if not (
        pa.types.is_struct(kind)
        and {field.name for field in kind} == {"bytes", "path"}
        and pa.types.is_binary(kind.field("bytes").type)
    ):
        raise BadItems(
            f"{path}: column {name!r} is {kind}, it should be struct<bytes: binary, path: string>",
            "Write it with the Image feature of `datasets`.",
        )
    rows = table.column(name).to_pylist()
    for row, value in enumerate(rows):
        if value is None or not value["bytes"]:
            raise BadItems(
                f"{path}: column {name!r} holds no picture in row {row}",
                "Embed the files: `datasets` keeps bytes in the parquet file with embed_external_files.",
            )
    return tuple(value["bytes"] for value in rows)
