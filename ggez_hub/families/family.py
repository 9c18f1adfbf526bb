"""What a family of models declares, and how a model is stored in a folder.

A family is the only place that knows how its models differ: others look it up and ask it. How its
models are asked and trained is named, as entry points name it, and imported when it is needed.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from ggez_hub.errors import GgezError
from ggez_hub.families.stored_rows import Runs

if TYPE_CHECKING:
    from torch import nn


def quoted(text: str) -> str:
    """Text as Python writes it between double quotes."""
    return json.dumps(text, ensure_ascii=False)


class UnknownLayout(GgezError):
    """A folder does not hold a model that the family knows."""


class NotOneToOne(GgezError):
    """The weight of a module is not a stored tensor of its own.

    `rows` are the rows of stored tensors that it is made of, where it is made of complete rows: only
    then something stored can take its Delta.
    """

    def __init__(
        self, message: str, hint: str = "", rows: Mapping[str, Runs] | None = None
    ) -> None:
        super().__init__(message, hint)
        self.rows: Mapping[str, Runs] = rows or {}


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
    """How a model is stored in a folder: the library that loads it, and its weight files.

    `weights` are paths relative to the folder, in the order in which they are read, `indexes` the
    indexes of those that are shards. `loader` is the class that loads the model, where the library
    has several; `quantization` how its weights are quantised, if they are.
    """

    library: str
    weights: tuple[str, ...]
    loader: str = ""
    indexes: tuple[str, ...] = ()
    quantization: str = ""


Read: TypeAlias = Callable[[str], str]
"""The text of a small file of a repository, by its path."""

KeyMap: TypeAlias = Callable[[str], str | None]
"""From the path of a module, as PEFT writes it, to the tensor of the base that is its weight.

The path of a parameter (`projector.scale`) gives the tensor of that, where the names differ. None
where the base has no such module. Raises NotOneToOne or TiedWeight where it has one, but no tensor
for it alone.
"""


class Family(ABC):
    """A family of models: how they are stored, how adapters name their modules, how they are loaded.

    name       the id that cards and `--family` use; lower case
    title      what people call it
    generates  what a model makes of its input, which decides how it is evaluated
    configuration   the names of the small files by which a layout is known; of a hub they are read
               before any weights
    evaluation_backend   `module:NAME` of how its models are asked: an EvaluationBackend
               (evaluation.models.backend), for pictures a function that gives one for the folder in
               which drawings are kept and the judge, if there is one; empty if they cannot be
    training_backend   `module:NAME` of the TrainingBackend (training.backend); empty for a family
               that cannot be trained
    adapter_form   the form in which its library loads adapters
    text_modules, picture_modules   patterns of the modules, as adapters name them, that read text,
               and that see or draw; None where they cannot be distinguished
    """

    name: str
    title: str
    generates: ClassVar[Literal["text", "pictures", "embeddings"]]
    configuration: ClassVar[frozenset[str]]
    evaluation_backend: ClassVar[str] = ""
    training_backend: ClassVar[str] = ""
    adapter_form: ClassVar[str] = "peft"
    text_modules: ClassVar[re.Pattern[str] | None] = None
    picture_modules: ClassVar[re.Pattern[str] | None] = None

    @abstractmethod
    def layout(self, folder: Path, variant: str | None = None) -> Layout:
        """The layout of the model in `folder`; raises UnknownLayout.

        Of several sets of weights it is the one that the library loads for `variant`, or without
        one. Raises NoVariant where there is none.
        """

    @abstractmethod
    def listed_weights(self, paths: Collection[str], read: Read) -> tuple[str, ...]:
        """The weight files that the library loads from a repository with these files.

        `read` gives the text of a small one. Raises UnknownLayout.
        """

    @abstractmethod
    def key_map(self, folder: Path, names: Collection[str]) -> KeyMap:
        """How adapters for the model in `folder`, whose tensors are `names`, name its modules."""

    @abstractmethod
    def loading_lines(self, layout: Layout, folder: str) -> tuple[str, ...]:
        """Python that loads the model in `folder`, the import first."""

    @abstractmethod
    def empty_model(self, folder: Path) -> nn.Module:
        """The model without its weights, by the folder's configuration alone.

        Of a pipeline the part that a PEFT adapter is put on. May raise anything.
        """

    def module_tree(self, folder: Path) -> dict[str, nn.Module]:
        """The modules of the empty model by path, the model itself as the empty path.

        What a tensor is (a matrix that is multiplied, a table of rows, a kernel) cannot be seen from
        its name and shape. Raises GgezError.
        """
        try:
            return dict(self.empty_model(folder).named_modules())
        except GgezError:
            raise
        except Exception as error:  # a config from outside may break a model's code in any way
            raise GgezError(f"the model in {folder} cannot be built: {error}") from error
