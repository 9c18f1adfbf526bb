"""A repository on disk without its weights: names, configuration, and headers of weight files.

Layouts and forms are recognised in folders. A sparse copy lets them be recognised on a hub: kilobytes
are fetched, whatever the size of the weights.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from ggez_hub.daemon_threads import map_at_once
from ggez_hub.digests import digest_json
from ggez_hub.hub.client import PARALLEL_DOWNLOADS, Hub
from ggez_hub.hub.repository_files import HubFile, RepoAtCommit, is_plain_path
from ggez_hub.retry import with_retries
from ggez_hub.safetensors_header import (
    BadWeights,
    TensorInfo,
    header_length,
    parse_header,
    write_header,
)

# Most headers are shorter: they take one request.
FIRST_BYTES = 100_000

Tensors: TypeAlias = Mapping[str, tuple[str, tuple[int, ...]]]
"""dtype and shape of each tensor; those of a file in a folder are named `<folder>/<tensor>`."""


def shapes_digest(found: Tensors) -> str:
    """The sha256 of what tensors are called and look like, whatever they hold."""
    return digest_json({name: [dtype, list(shape)] for name, (dtype, shape) in found.items()})


def header(
    hub: Hub, at: RepoAtCommit, path: str
) -> tuple[Mapping[str, TensorInfo], Mapping[str, str]]:
    """Tensors and metadata of a listed weight file: kilobytes of it are transferred.

    Raises BadWeights for what is not a safetensors file, and what the client raises.
    """
    where, file = f"{path} of {at.repo}", at.file(path)
    if file is None:
        raise BadWeights(f"{at.repo} lacks {path}")

    def read(start: int, end: int) -> bytes:
        return with_retries(lambda: hub.read_range(at.repo, at.revision, path, start, end))

    found = read(0, min(file.size, FIRST_BYTES)) if file.size else b""
    end = 8 + header_length(found, file.size, where)
    if end > len(found):
        found += read(len(found), end)
    if end > len(found):
        raise BadWeights(f"the hub sends less of {where} than its header claims")
    return parse_header(found[8:end], file.size - end, where)


def tensors(hub: Hub, at: RepoAtCommit, paths: Iterable[str]) -> Tensors:
    """The tensors of weight files at a commit. Raises as `header`."""

    def read(path: str) -> dict[str, tuple[str, tuple[int, ...]]]:
        folder = path.rpartition("/")[0]
        prefix = f"{folder}/" if folder else ""
        found, _ = header(hub, at, path)
        return {f"{prefix}{name}": (t.dtype, t.shape) for name, t in found.items()}

    parts = map_at_once(read, paths, PARALLEL_DOWNLOADS)
    return dict(item for part in parts for item in part.items())


INDEX = re.compile(r"\.safetensors\.index(\.\w+)?\.json\Z")
MAX_CONFIGURATION_BYTES = 64_000_000
# Of a repository, all together; and how many of its weight files have their headers read.
MOST_CONFIGURATION_BYTES, MOST_WEIGHT_FILES = 256_000_000, 1_000


@contextmanager
def sparse_copy(
    hub: Hub,
    at: RepoAtCommit,
    configuration: Collection[str],
    *,
    headers: bool,
    shards: bool = False,
) -> Iterator[Path]:
    """A temporary folder with the names of a repository's files and the content of its configuration.

    `configuration` are the names of the files, in any folder, that are read beside shard indexes.
    Weight files have their real header with `headers` (shards only with `shards`), otherwise the
    names that a shard index has for them, otherwise they are empty. Raises BadWeights for a header
    that is not one, and for more of them than a model has, and what the client raises.
    """
    read = [
        file
        for file in at.files
        if file.path.rpartition("/")[2] in configuration or INDEX.search(file.path)
        if file.size <= MAX_CONFIGURATION_BYTES
    ]
    weights = [file for file in at.files if file.path.endswith(".safetensors")]
    if sum(file.size for file in read) > MOST_CONFIGURATION_BYTES:
        raise BadWeights(
            f"{at.repo} has more than {MOST_CONFIGURATION_BYTES:,} bytes of configuration"
        )
    if headers and len(weights) > MOST_WEIGHT_FILES:
        raise BadWeights(f"{at.repo} has more than {MOST_WEIGHT_FILES:,} weight files")
    with tempfile.TemporaryDirectory(prefix="ggez-sparse-copy-") as temporary:
        folder = Path(temporary)
        for file in at.files:
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        if read:
            fetched = hub.fetch(at.repo, at.revision, read)
            for file in read:
                shutil.copyfile(fetched / file.path, folder / file.path)
        indexed = {} if shards else _indexed(folder, read)
        for shard, tensors in indexed.items():
            _write_header(folder / shard, dict.fromkeys(tensors, TensorInfo("F32", (0,), 0, 0)), {})
        for file in weights if headers else ():
            if file.path not in indexed:
                _write_header(folder / file.path, *header(hub, at, file.path))
        yield folder


def _indexed(folder: Path, files: Iterable[HubFile]) -> dict[str, list[str]]:
    """The tensors of every shard that an index names, by the shard's path."""
    found: dict[str, list[str]] = {}
    for file in files:
        try:
            index = json.loads((folder / file.path).read_text(encoding="utf-8"))
            entries = list(index["weight_map"].items())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            # Not an index; or one that whoever reads the layout will complain about.
            continue
        at = file.path.rpartition("/")[0]
        for tensor, shard in entries:
            path = f"{at}/{shard}".lstrip("/")
            if isinstance(shard, str) and is_plain_path(path) and (folder / path).is_file():
                found.setdefault(path, []).append(str(tensor))
    return found


def _write_header(
    target: Path, tensors: Mapping[str, TensorInfo], metadata: Mapping[str, str]
) -> None:
    """A safetensors file whose data are a hole: it takes no disk."""
    with target.open("wb") as file:
        start = write_header(file, tensors, metadata)
        file.truncate(start + max((info.end for info in tensors.values()), default=0))
