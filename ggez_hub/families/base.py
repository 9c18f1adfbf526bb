"""What a family of models is to the rest of the house: a value that is looked up."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from ggez_hub.errors import GgezError


class UnknownLayout(GgezError):
    """A folder holds no model that this family knows."""


@dataclass(frozen=True)
class Layout:
    """How a model lies in a folder: the library that loads it, and its weight files.

    `weights` are paths relative to the folder, in the order in which they are read.
    """

    library: str
    weights: tuple[str, ...]


KeyMap: TypeAlias = Callable[[str], str | None]
"""From the path of a module, as PEFT writes it, to the tensor of the base that is its weight.

None where the base has no such module.
"""


class Family(Protocol):
    """A family: where its weights lie, how adapter modules name them, how a result is loaded."""

    @property
    def name(self) -> str:
        """The id that cards and `--family` use."""

    @property
    def title(self) -> str:
        """What people call it."""

    def layout(self, folder: Path) -> Layout:
        """The layout of the model in `folder`; raises UnknownLayout."""

    def key_map(self, folder: Path, names: Collection[str]) -> KeyMap:
        """How adapters for the model in `folder`, whose tensors are `names`, name its modules."""

    def loading_lines(self, layout: Layout, folder: str) -> tuple[str, ...]:
        """Python that loads the model in `folder`, the import first."""
