"""Deltas: what an adapter adds to its base, tensor by tensor, never stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.contained_files import require_contained_files
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.merging.delta_rows import RowDelta, whole
from ggez_hub.safetensors_header import TensorInfo, WeightFile, read_header

if TYPE_CHECKING:
    import torch


class BadAdapter(GgezError):
    """An adapter cannot be merged exactly, hence not at all."""


class WrongBase(GgezError):
    """An adapter does not fit the base."""


class WeightIndex(Mapping[str, TensorInfo]):
    """The tensors of a model's weight files, by name.

    Tensors of a file in a sub-folder, as pipelines of several models have them, are named
    `<folder>/<tensor>`: names of two models may be the same.
    """

    def __init__(
        self, folder: Path, weights: tuple[str, ...], digests: Mapping[str, str] | None = None
    ) -> None:
        """Read and check every header.

        Raises BadWeights, UnsafeFile, or WrongBase for a name held twice.

        `digests` are the sha256s of the files where they are known: of weights that are not here.
        """
        require_contained_files(folder, [folder / path for path in weights])
        self.folder = folder
        self._digests = digests
        self.files: dict[str, WeightFile] = {path: read_header(folder / path) for path in weights}
        self.file_of: dict[str, str] = {}
        for path, file in self.files.items():
            for stored in file.tensors:
                name = qualified(path, stored)
                if name in self.file_of:
                    raise WrongBase(f"{folder}: tensor {name!r} stands in two weight files")
                self.file_of[name] = path

    def only(self, names: Collection[str]) -> WeightIndex:
        """The same files, of which only those that hold one of `names`, as if they held no other."""
        part = copy(self)
        part.file_of = {name: path for name, path in self.file_of.items() if name in names}
        held = {*part.file_of.values()}
        part.files = {path: file for path, file in self.files.items() if path in held}
        return part

    @property
    def digests(self) -> Mapping[str, str]:
        """The sha256 of each file, by its path in the folder."""
        if self._digests is None:
            self._digests = {path: sha256_file(file.path) for path, file in self.files.items()}
        return self._digests

    def __getitem__(self, name: str) -> TensorInfo:
        return self.files[self.file_of[name]].tensors[stored_name(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.file_of)

    def __len__(self) -> int:
        return len(self.file_of)

    @property
    def nbytes(self) -> int:
        return sum(file.nbytes for file in self.files.values())

    @property
    def results(self) -> Mapping[str, WeightFile]:
        """The files of a merge by their paths, as its header describes them."""
        return self.files

    def is_copied(self, name: str) -> bool:
        """Whether a tensor that no adapter changes keeps its bytes."""
        return True

    def read(self, name: str) -> torch.Tensor:
        """A tensor as it is stored; raises KeyError."""
        from ggez_hub.merging.stored_tensors import map_tensor

        return map_tensor(self.files[self.file_of[name]], stored_name(name))


class Delta(ABC):
    """Delta = theta_regional - theta_global of one adapter for one base."""

    def __init__(self, name: str, base: WeightIndex) -> None:
        """`name` is one that no other input of the merge has."""
        self.name, self.base = name, base

    @property
    @abstractmethod
    def touched(self) -> frozenset[str]:
        """The tensors of the base that it changes."""

    @abstractmethod
    def by_rows(self, name: str) -> RowDelta:
        """Delta of one touched tensor, some rows at a time."""

    def tensor(self, name: str) -> torch.Tensor:
        """Delta of one touched tensor: float64, in the shape of the base's tensor."""
        return whole(self.by_rows(name), self.base[name].shape)


def qualified(path: str, stored: str) -> str:
    """The name of a tensor in the file at `path`: prefixed by the file's folder, if it has one."""
    folder, _, _ = path.rpartition("/")
    return f"{folder}/{stored}" if folder else stored


def stored_name(name: str) -> str:
    """The name of a tensor within its file."""
    return name.rpartition("/")[2]
