"""What a family of models is to the rest of the house: a value that is looked up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from ggez_hub.errors import GgezError


class UnknownLayout(GgezError):
    """A folder holds no model that this family knows."""


class NotOneToOne(GgezError):
    """The weight of a module is no stored tensor of its own: nothing stored can take its Delta."""


class TiedWeight(GgezError):
    """The weight of a module is that of other modules too, which an adapter on one leaves alone.

    `tensor` is the stored tensor, None if there is none; `sharing` the other parameters that get
    its value. An adapter that changes all of them alike may be merged into `tensor`.
    """

    def __init__(self, module: str, tensor: str | None, sharing: Sequence[str]) -> None:
        super().__init__(
            f"module {module!r} shares its weight with {', '.join(sharing)}: merging an adapter on "
            "the one would change the other",
            "Use the adapter with PEFT on the loaded model, or train on an untied base.",
        )
        self.tensor = tensor
        self.sharing = tuple(sharing)


@dataclass(frozen=True)
class Layout:
    """How a model lies in a folder: the library that loads it, and its weight files.

    `weights` are paths relative to the folder, in the order in which they are read, `indexes` the
    indexes of those that are shards. `loader` is the class that loads the model, where the library
    has several.
    """

    library: str
    weights: tuple[str, ...]
    loader: str = ""
    indexes: tuple[str, ...] = ()


Read: TypeAlias = Callable[[str], str]
"""The text of a small file of a repository, by its path."""

KeyMap: TypeAlias = Callable[[str], str | None]
"""From the path of a module, as PEFT writes it, to the tensor of the base that is its weight.

The path of a parameter (`projector.scale`) gives the tensor of that, where the names differ. None
where the base has no such module. Raises NotOneToOne or TiedWeight where it has one, but no tensor
for it alone.
"""


@runtime_checkable
class Family(Protocol):
    """A family: where its weights lie, how adapter modules name them, how a result is loaded."""

    @property
    def name(self) -> str:
        """The id that cards and `--family` use."""

    @property
    def title(self) -> str:
        """What people call it."""

    def layout(self, folder: Path, variant: str | None = None) -> Layout:
        """The layout of the model in `folder`; raises UnknownLayout.

        Of several sets of weights it is the one that the library loads for `variant`, or without
        one. Raises NoVariant where there is none.
        """

    def listed_weights(self, paths: Collection[str], read: Read) -> tuple[str, ...]:
        """The weight files that the library loads from a repository with these files.

        `read` gives the text of a small one. Raises UnknownLayout.
        """

    def key_map(self, folder: Path, names: Collection[str]) -> KeyMap:
        """How adapters for the model in `folder`, whose tensors are `names`, name its modules."""

    def loading_lines(self, layout: Layout, folder: str) -> tuple[str, ...]:
        """Python that loads the model in `folder`, the import first."""
