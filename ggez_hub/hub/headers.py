"""Tensors of the weight files of a repository, without the weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from ggez_hub.errors import GgezError
from ggez_hub.hub.client import PARALLEL_DOWNLOADS, Hub
from ggez_hub.hub.listing import RepoAtCommit
from ggez_hub.hub.patience import patiently
from ggez_hub.weights import digest_json

Tensors: TypeAlias = Mapping[str, tuple[str, tuple[int, ...]]]
"""dtype and shape of each tensor; those of a file in a folder are named `<folder>/<tensor>`."""


def shapes_digest(found: Tensors) -> str:
    """The sha256 of what tensors are called and look like, whatever they hold."""
    return digest_json({name: [dtype, list(shape)] for name, (dtype, shape) in found.items()})


class NoHeader(GgezError):
    """A file on a hub has no header that can be read."""


def tensors(hub: Hub, at: RepoAtCommit, paths: Iterable[str]) -> Tensors:
    """The tensors of weight files at a commit: kilobytes of each file are transferred.

    Raises NoHeader for a file that is no safetensors, and what the client raises.
    """
    from huggingface_hub.errors import SafetensorsParsingError

    def read(path: str) -> dict[str, tuple[str, tuple[int, ...]]]:
        folder = path.rpartition("/")[0]
        prefix = f"{folder}/" if folder else ""
        try:
            _, found = patiently(lambda: hub.header(at.repo, at.revision, path))
        except SafetensorsParsingError as error:
            raise NoHeader(f"{path} of {at.repo} is no safetensors file: {error}") from error
        return {f"{prefix}{name}": (t["dtype"], tuple(t["shape"])) for name, t in found.items()}

    together: dict[str, tuple[str, tuple[int, ...]]] = {}
    with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
        for part in pool.map(read, paths):
            together |= part
    return together
