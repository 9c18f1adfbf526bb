"""Where the files of a commit go: into git itself, or by their sha256 among the large files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ggez_hub.embedded.attributes import SAMPLE_BYTES, Attributes
from ggez_hub.embedded.changes import Change, PutBlob, PutPointer
from ggez_hub.embedded.lfs import Pointer
from ggez_hub.embedded.objects import Objects
from ggez_hub.embedded.paths import check_path


def places(
    files: Mapping[str, bytes | Path],
    attributes: Attributes,
    objects: Objects,
    keep: Callable[[bytes | Path], Pointer],
) -> Iterator[Change]:
    """The change that puts each file, by path, where it belongs; `keep` stores a large file.

    Raises:
        InvalidPathError: a path may not be in a commit.
    """
    for path, source in files.items():
        check_path(path)
        size, sample = _look(source)
        if attributes.wants_lfs(path, size, sample):
            yield PutPointer(path, keep(source))
        else:
            data = source if isinstance(source, bytes) else source.read_bytes()
            yield PutBlob(path, objects.write_blob(data))


def _look(source: bytes | Path) -> tuple[int, bytes]:
    """The size of a file, and its beginning."""
    if isinstance(source, bytes):
        return len(source), source[:SAMPLE_BYTES]
    with source.open("rb") as file:
        return source.stat().st_size, file.read(SAMPLE_BYTES)
