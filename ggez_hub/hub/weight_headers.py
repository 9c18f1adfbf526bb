"""Tensors of the weight files of a repository, without the weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from ggez_hub.digests import digest_json
from ggez_hub.hub.client import PARALLEL_DOWNLOADS, Hub
from ggez_hub.hub.listing import RepoAtCommit
from ggez_hub.retry import with_retries
from ggez_hub.safetensors_header import BadWeights, TensorInfo, header_length, parse_header

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

    with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
        return dict(item for part in pool.map(read, paths) for item in part.items())
