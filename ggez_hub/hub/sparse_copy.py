"""A repository on disk without its weights: names, configuration, and headers of weight files.

Layouts and forms are recognised in folders. An outline lets them be recognised on a hub: kilobytes
are fetched, whatever the weights weigh.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ggez_hub.hub.client import Hub
from ggez_hub.hub.listing import HubFile, RepoAtCommit, is_plain_path
from ggez_hub.hub.weight_headers import header
from ggez_hub.safetensors_header import TensorInfo, write_header

# What says how a repository is laid out; each is read by the family or the form that it is for.
TOLD_BY = frozenset(
    {"config.json", "model_index.json", "open_clip_config.json", "adapter_config.json",
     "task_vector.json"}
)  # fmt: skip
SHARD_INDEX = re.compile(r"\.safetensors\.index(?:\.\w+)?\.json$")
MAX_TOLD = 64_000_000


@contextmanager
def sparse_copy(
    hub: Hub, at: RepoAtCommit, *, headers: bool, shards: bool = False
) -> Iterator[Path]:
    """A temporary folder with the names of a repository's files and what tells its layout.

    Weight files are there as far as they are known: with `headers` by their real header (of shards
    only with `shards`), else by the names that a shard index has for them, else empty. Raises BadWeights for a header that is
    none, and what the client raises.
    """
    told = [file for file in at.files if _tells(file)]
    with tempfile.TemporaryDirectory(prefix="ggez-outline-") as temporary:
        folder = Path(temporary)
        for file in at.files:
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        if told:
            fetched = hub.fetch(at.repo, at.revision, told)
            for file in told:
                shutil.copyfile(fetched / file.path, folder / file.path)
        indexed = {} if shards else _indexed(folder, told)
        for shard, tensors in indexed.items():
            _write_header(folder / shard, _empty(tensors), {})
        if headers:
            for file in at.files:
                if file.path.endswith(".safetensors") and file.path not in indexed:
                    _copy_header(hub, at, file, folder / file.path)
        yield folder


def _tells(file: HubFile) -> bool:
    name = file.path.rpartition("/")[2]
    known = name in TOLD_BY or SHARD_INDEX.search(name) is not None
    return known and file.size <= MAX_TOLD


def _indexed(folder: Path, told: Iterable[HubFile]) -> dict[str, list[str]]:
    """The tensors of every shard that an index names, by the shard's path."""
    found: dict[str, list[str]] = {}
    for file in told:
        if SHARD_INDEX.search(file.path):
            try:
                index = json.loads((folder / file.path).read_text(encoding="utf-8"))
                entries = list(index["weight_map"].items())
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                # Whoever reads the layout will say what is wrong with it.
                continue
            at = file.path.rpartition("/")[0]
            for tensor, shard in entries:
                path = f"{at}/{shard}".lstrip("/")
                if isinstance(shard, str) and is_plain_path(path) and (folder / path).is_file():
                    found.setdefault(path, []).append(str(tensor))
    return found


def _empty(tensors: Iterable[str]) -> dict[str, TensorInfo]:
    return {name: TensorInfo("F32", (0,), 0, 0) for name in tensors}


def _copy_header(hub: Hub, at: RepoAtCommit, file: HubFile, target: Path) -> None:
    tensors, metadata = header(hub, at, file.path)
    _write_header(target, tensors, metadata)


def _write_header(
    target: Path, tensors: Mapping[str, TensorInfo], metadata: Mapping[str, str]
) -> None:
    """A safetensors file whose data are a hole: it takes no disk."""
    with target.open("wb") as file:
        start = write_header(file, tensors, metadata)
        file.truncate(start + max((info.end for info in tensors.values()), default=0))
