"""A folder of pictures, as the `imagefolder` builder of `datasets` reads it.

With metadata.jsonl or metadata.csv, whose column `file_name` names the pictures: its columns, and
`image`. Without: `image`, `file_name` and `label`, the picture's folder.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ggez_hub.contained_files import require_contained_files
from ggez_hub.data.examples import Unreadable
from ggez_hub.data.sources.base import BadSource, Extent, FileReader, SourceRow, is_text, shown
from ggez_hub.data.sources.jsonl import byte_ranges, json_lines
from ggez_hub.data.spec import SourceSpec
from ggez_hub.text_files import pieces

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif"}
PART_FILES = 2000
METADATA = ("metadata.jsonl", "metadata.csv")


class ImageFolder(FileReader):
    """A source that is a folder."""

    def found(self, source: SourceSpec, folder: Path) -> list[Path]:
        self._root = folder / (source.imagefolder or "")
        if not self._root.is_dir():
            raise BadSource(f"source {source.name}: there is no folder {self._root}")
        everything = sorted(path for path in self._root.rglob("*") if path.is_file())
        self._metadata = [path for path in everything if path.name in METADATA]
        self._pictures = [path for path in everything if path.suffix.lower() in SUFFIXES]
        if not self._metadata and not self._pictures:
            raise BadSource(f"source {source.name}: {self._root} holds no pictures")
        # Pictures are checked one by one.
        require_contained_files(self._root, self._metadata)
        return [*self._metadata, *self._pictures]

    def extents(self) -> list[Extent]:
        if not self._metadata:
            starts = range(0, len(self._pictures), PART_FILES)
            return [Extent(0, n, min(n + PART_FILES, len(self._pictures))) for n in starts]
        return [
            Extent(number, start, stop)
            for number, path in enumerate(self._metadata)
            for start, stop in (
                byte_ranges(path) if path.suffix == ".jsonl" else [(0, path.stat().st_size)]
            )
        ]

    def row_count(self) -> int:
        return len(self._pictures)

    def rows(self, extent: Extent) -> Iterator[SourceRow]:
        if not self._metadata:
            for number in range(extent.start, extent.stop):
                path = self._pictures[number].relative_to(self._root)
                name = path.as_posix()
                row = {"image": name, "file_name": name, "label": path.parent.name}
                odd = Unreadable("file: its name is not UTF-8")
                yield SourceRow(shown(path), row if is_text(name) else odd)
            return
        path = self._metadata[extent.file]
        found: Iterator[tuple[int, Any]] = (
            json_lines(path, extent.start, extent.stop)
            if path.suffix == ".jsonl"
            else _csv_rows(path)
        )
        for number, values in found:
            yield SourceRow(f"{extent.file}-{number}", self._with_picture(path, values))

    def _with_picture(self, metadata: Path, values: Any) -> dict[str, Any] | Unreadable:
        if isinstance(values, Unreadable):
            return values
        name = values.get("file_name")
        if not isinstance(name, str):
            return Unreadable("metadata: file_name is missing")
        place = (metadata.parent.relative_to(self._root) / name).as_posix()
        return {**values, "image": place}


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | Unreadable]]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.DictReader(pieces(file))
        try:
            if "file_name" not in (reader.fieldnames or ()):
                raise BadSource(f"{path} has no column file_name", "It has to be CSV in UTF-8.")
            for number, values in enumerate(reader):
                # A field too many or too few moves the others.
                fits = None not in values and None not in values.values()
                yield number, values if fits else Unreadable("csv: another number of fields")
        except csv.Error:
            yield reader.line_num, Unreadable("csv: damaged")
