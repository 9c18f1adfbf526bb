"""A repository on disk without its weights: names, configuration, and headers of weight files.

Layouts and forms are recognised in folders. A sparse copy lets them be recognised on a hub: kilobytes
are fetched, whatever the size of the weights.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ggez_hub.hub.client import Hub
from ggez_hub.hub.listing import HubFile, RepoAtCommit, is_plain_path
from ggez_hub.hub.weight_headers import header

# Each is read by the family or the form that it is for.
CONFIGURATION = re.compile(
    r"(^|/)((config|model_index|open_clip_config|adapter_config|task_vector)\.json"
    r"|[^/]*\.safetensors\.index(\.\w+)?\.json)$"
)
MAX_CONFIGURATION_BYTES = 64_000_000


@contextmanager
def sparse_copy(
    hub: Hub, at: RepoAtCommit, *, headers: bool, shards: bool = False
) -> Iterator[Path]:
    """A temporary folder with the names of a repository's files and the content of its configuration.

    Weight files have their real header with `headers` (shards only with `shards`), otherwise the
    names that a shard index has for them, otherwise they are empty. Raises BadWeights for a header
    that is not one, and what the client raises.
    """
    read = [
        file
        for file in at.files
        if CONFIGURATION.search(file.path) and file.size <= MAX_CONFIGURATION_BYTES
    ]
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
            empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
            _write_header(folder / shard, dict.fromkeys(tensors, empty), 0)
        for file in at.files if headers else ():
            if file.path.endswith(".safetensors") and file.path not in indexed:
                _copy_header(hub, at, file, folder / file.path)
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


def _copy_header(hub: Hub, at: RepoAtCommit, file: HubFile, target: Path) -> None:
    tensors, metadata = header(hub, at, file.path)
    entries: dict[str, object] = {
        name: {"dtype": t.dtype, "shape": t.shape, "data_offsets": (t.start, t.end)}
        for name, t in tensors.items()
    }
    if metadata:
        entries["__metadata__"] = dict(metadata)
    _write_header(target, entries, max((t.end for t in tensors.values()), default=0))


def _write_header(target: Path, entries: Mapping[str, object], nbytes: int) -> None:
    """Write a safetensors file whose data are a hole: they take no disk."""
    raw = json.dumps(entries).encode()
    with target.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(8 + len(raw) + nbytes)
