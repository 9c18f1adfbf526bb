"""The items of a benchmark, read from its files and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from ggez_hub.contained_files import require_contained_files
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.benchmark import Benchmark
from ggez_hub.evaluation.benchmarks.loaders import (
    LOADERS,
    Choice,
    DrawingPrompt,
    Item,
    PictureQuestion,
    Source,
)
from ggez_hub.extras import require
from ggez_hub.images import BadPicture, upright
from ggez_hub.quantities import counted

FEWEST, MOST = 2, 26


class Pool(dict[bytes, bytes | None]):
    """Pictures of several benchmarks by their bytes: each is checked once, and is in memory once.

    None where the bytes are not a picture, as those of a page in place of one.
    """

    def __missing__(self, data: bytes) -> bytes | None:
        self[data] = data if _is_picture(data) else None
        return self[data]


@dataclass(frozen=True)
class Folders:
    """The folders of a benchmark: its data set, that with the pictures, fetched pictures."""

    data: Path
    pictures: Path | None = None
    fetched: Path | None = None
    pool: Pool = field(default_factory=Pool)


@dataclass(frozen=True, eq=False)
class Contents:
    """The items of a benchmark and the files that they were read from: path -> sha256."""

    items: tuple[Item, ...]
    files: dict[str, str]


def read_contents(
    benchmark: Benchmark, folders: Folders, counts: Callable[[Item], bool] | None = None
) -> Contents:
    """Read a benchmark; raises GgezError where files are missing or not what the loader knows.

    Items that do not count have no pictures: those of all regions do not fit in memory.
    """
    parts = {
        part: matching(folders.data, pattern, benchmark.dataset.repo)
        for part, pattern in benchmark.files.items()
    }
    extra: tuple[Path, ...] = ()
    if benchmark.pictures is not None and folders.pictures is not None:
        extra = matching(folders.pictures, benchmark.pictures.files, benchmark.pictures.repo)
    source = Source(parts, folders.data, extra, folders.fetched)
    items = []
    loader = LOADERS[benchmark.loader]
    for item in loader.read(source, loader.options.model_validate(benchmark.options)):
        used = item.picture is not None and (counts is None or counts(item))
        items.append(replace(item, picture=folders.pool[item.picture or b""] if used else None))
    _check(benchmark, items)
    read = sorted({path for paths in parts.values() for path in paths})
    files = {path.relative_to(folders.data).as_posix(): sha256_file(path) for path in read}
    return Contents(tuple(items), files)


def matching(folder: Path, pattern: str, repo: str) -> tuple[Path, ...]:
    """The files of a folder whose path fits the pattern, in order; raises GgezError if none does, UnsafeFile."""
    there = sorted(path for path in folder.rglob("*") if path.is_file())
    found = tuple(path for path in there if fits(path.relative_to(folder).as_posix(), pattern))
    if not found:
        raise GgezError(
            f"{folder} holds no file like {pattern!r} of {repo}",
            "Download the data set there, or write its files' names into a task of your own.",
        )
    require_contained_files(folder, found)
    return found


def fits(path: str, pattern: str) -> bool:
    """Whether a path in a data set fits a pattern, in which `*` goes across folders."""
    hidden = any(part.startswith(".") for part in path.split("/"))
    return not hidden and (fnmatchcase(path, pattern) or fnmatchcase(f"/{path}", pattern))


def _is_picture(data: bytes) -> bool:
    """Whether the bytes are a complete picture of a reasonable size."""
    require("eval", "PIL")
    try:
        upright(data)
    except BadPicture:
        return False
    return True


def _check(benchmark: Benchmark, items: Sequence[Item]) -> None:
    ids = Counter(item.id for item in items)
    if not ids:
        raise GgezError(f"task {benchmark.id!r}: its files hold no items")
    twice, count = ids.most_common(1)[0]
    if count > 1:
        raise GgezError(
            f"task {benchmark.id!r}: {counted(count, 'item has', 'items have')} the id {twice!r}"
        )
    for item in items:
        questions = item.parts if isinstance(item, DrawingPrompt) else [item]
        counts = [len(q.options) for q in questions if isinstance(q, Choice | PictureQuestion)]
        if strange := [count for count in counts if not FEWEST <= count <= MOST]:
            raise GgezError(f"task {benchmark.id!r}: {item.id!r} has {strange[0]} options")
