"""WebDataset: tar files in which the files of a row stand together; a part is a tar file.

Of `a/b.jpg` and `a/b.json` the row is {"__key__": "a/b", "jpg": ..., "json.caption": ...}: the keys
of a JSON file are columns of their own. Format: https://github.com/webdataset/webdataset.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import Any

from ggez_hub.data.examples import Unreadable
from ggez_hub.data.sources.archives import open_tar
from ggez_hub.data.sources.base import Extent, FileReader, SourceRow, json_object
from ggez_hub.text_files import LONGEST_LINE

LARGEST_MEMBER = 256 << 20  # of a row, too
TEXTS = ("txt", "text", "caption")


class WebDataset(FileReader):
    """A source of tar files; nothing is unpacked onto the disk."""

    def extents(self) -> list[Extent]:
        return [Extent(number, 0, 1) for number in range(len(self._files))]

    def rows(self, extent: Extent) -> Iterator[SourceRow]:
        key: str | None = None
        values: dict[str, Any] | Unreadable = {}
        number = 0
        try:
            with open_tar(self._files[extent.file]) as tar:
                for member in tar:
                    # Bytes that are not UTF-8 come as halves of surrogate pairs.
                    name = member.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
                    stem, field = _split(name)
                    if not member.isfile() or not field:
                        continue
                    if stem != key:
                        if key is not None:
                            yield SourceRow(f"{extent.file}-{number}", values)
                            number += 1
                        key, values = stem, {"__key__": stem}
                    values = _with(values, field, member, tar)
        except (tarfile.TarError, OSError, EOFError):
            values = Unreadable("tar: damaged")
        if key is not None or isinstance(values, Unreadable):
            yield SourceRow(f"{extent.file}-{number}", values)


def _split(name: str) -> tuple[str, str]:
    """The key and the extension: all behind the first dot of the file's own name."""
    folder, _, file = name.rpartition("/")
    stem, _, field = file.partition(".")
    return (f"{folder}/{stem}" if folder else stem), field.lower()


def _with(
    values: dict[str, Any] | Unreadable, field: str, member: tarfile.TarInfo, tar: tarfile.TarFile
) -> dict[str, Any] | Unreadable:
    if isinstance(values, Unreadable):
        return values
    # A file with holes decodes to what no limit on the archive counts.
    largest = LONGEST_LINE if field in {*TEXTS, "json"} else LARGEST_MEMBER
    if member.size > largest or member.issparse():
        return Unreadable("tar: the file is too large")
    if member.size + sum(map(_size, values.values())) > LARGEST_MEMBER:
        return Unreadable("tar: the row is too large")
    file = tar.extractfile(member)
    content = file.read() if file is not None else b""
    if field in TEXTS:
        return values | {field: content.decode("utf-8", errors="replace")}
    if field == "json":
        loaded = json_object(content, "file")
        if isinstance(loaded, Unreadable):
            return loaded
        return values | {f"json.{name}": value for name, value in loaded.items()}
    return values | {field: {"bytes": content, "path": f"{values['__key__']}.{field}"}}


def _size(value: Any) -> int:
    """The bytes of a file that is in a row already."""
    return len(value["bytes"]) if isinstance(value, dict) and "bytes" in value else 0
