"""Names of transformers models: from the modules of a model in memory to its stored tensors.

Checkpoints keep the names of the transformers version (or of the research code) that wrote them;
`from_pretrained` renames and reshapes while it loads. PEFT writes adapters under the names in
memory. The way back: the model is built on the meta device from config.json, every
stored name is sent through transformers' own conversion, and the result is inverted. Where that
is not one tensor to one, a module is refused by name. What this gives for layouts that are common is
known ahead (plain_names), so that nothing of transformers is imported for them.

Source: transformers.core_model_loading.convert_and_load_state_dict_in_model (5.23), whose order
of renamings and whose fallback are followed here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ggez_hub.errors import GgezError
from ggez_hub.extras import require
from ggez_hub.families.family import KeyMap, NotOneToOne, TiedWeight
from ggez_hub.families.plain_names import plain_names
from ggez_hub.families.stored_rows import Conversion, Runs
from ggez_hub.families.transformers_folder import CONFIG, Checkpoint, read_checkpoint

# Classes for a config that names none: the head that most checkpoints of the type have.
AUTO_CLASSES = ("AutoModelForImageTextToText", "AutoModelForCausalLM", "AutoModel")
# Libraries that have linear layers whose weight is (in, out): transformers.pytorch_utils.Conv1D.
WITH_CONV1D = frozenset({"transformers"})


def transformers_key_map(folder: Path, names: Collection[str]) -> KeyMap:
    """The key map of a transformers folder whose tensors are `names`.

    Raises MissingExtra, or GgezError if transformers knows no such model: at the latest when a module
    is looked up. The map itself raises NotOneToOne or TiedWeight for a module whose weight is not a
    stored tensor of its own.
    """
    require("merge", "transformers")
    checkpoint = read_checkpoint(folder)
    checkpoint.require_plain()
    plain = plain_names(checkpoint, names)
    by_model = cache(lambda: StoredNames(meta_model(checkpoint), names))
    if not plain.tensors:
        return by_model().tensor

    def tensor(module: str) -> str | None:
        found = plain.tensor(module)
        return by_model().tensor(module) if found is None else found

    return tensor


def have_outputs_first(folder: Path, names: Collection[str], tensors: Iterable[str]) -> bool:
    """Whether these of a folder's tensors are known to be (out, in), without building the model."""
    return plain_names(read_checkpoint(folder), names).hold(tensors)


class StoredNames:
    """Which stored tensor is loaded into which parameter of a model."""

    def __init__(self, model: Any, names: Collection[str]) -> None:
        from transformers.core_model_loading import dot_natural_key

        self.names, self.model = names, model
        self.parameters = set(model.state_dict())
        self.tied = _tied(model)
        # Parameter -> stored tensor, where the tensor is loaded as it is.
        self.stored: dict[str, str] = {}
        # Parameter -> why no stored tensor is its value, and what is converted into it.
        self.changed: dict[str, str] = {}
        self.converted: dict[str, str] = {}
        self.sources: dict[str, list[tuple[str, Converted]]] = {}
        rename = _renaming(model)
        # The loader's order: some renamings depend on names that came before.
        for name in sorted(names, key=dot_natural_key):
            renamed = rename(name)
            if (conversion := renamed[0][1]) is not None:
                self.sources.setdefault(conversion.renamed, []).append((name, conversion))
            for parameter, conversion in renamed:
                if conversion is not None:
                    self.changed[parameter] = f"transformers converts it ({conversion})"
                    self.converted[parameter] = conversion.renamed
                elif parameter in self.stored:
                    both = f"{self.stored[parameter]!r} and {name!r}"
                    self.changed[parameter] = f"the base has both {both} for it"
                else:
                    self.stored[parameter] = name
        self.forget()

    def forget(self) -> None:
        """Read the next name as if none had been looked up before it.

        What a name of an older version means may depend on the names that were seen before it, and
        an adapter need not have those: both readings are looked up.
        """
        self.readings = (_renaming(self.model), _renaming(self.model, older=True))

    def tensor(self, module: str) -> str | None:
        """The stored tensor that is the weight of `module`; None if the base has none.

        `module` is the path of a module in memory, or the path that an older transformers gave it.
        The path of a parameter gives the tensor of that.
        """
        for path in (f"{module}.weight", module):
            renamed = [entry for rename in self.readings for entry in rename(path)]
            conversions = [conversion for _, conversion in renamed if conversion is not None]
            found = {path, *(name for name, conversion in renamed if conversion is None)}
            found &= self.parameters
            if found:
                return self._of_parameter(module, found)
            if conversions:
                return self._before_conversion(module, path, conversions[0])
        return None

    def _of_parameter(self, module: str, found: Collection[str]) -> str | None:
        if len(found) > 1:
            raise NotOneToOne(
                f"module {module!r} may be {' or '.join(map(repr, sorted(found)))}: "
                "its name has changed its meaning between versions of transformers"
            )
        (parameter,) = found
        if parameter in self.tied:
            group = sorted(self.tied[parameter])
            stored = next((self.stored[name] for name in group if name in self.stored), None)
            raise TiedWeight(module, stored, [name for name in group if name != parameter])
        if parameter in self.changed:
            raise _no_tensor(module, self.changed[parameter], self._rows(parameter))
        return self.stored.get(parameter)

    def _rows(self, parameter: str) -> dict[str, Runs]:
        if not isinstance(self.names, Mapping) or parameter not in self.converted:
            return {}
        renamed = self.converted[parameter]
        sources = [(name, one.pattern) for name, one in self.sources[renamed]]
        converter = self.sources[renamed][0][1].converter
        return Conversion(converter, renamed, sources).rows(parameter, self.model, self.names)

    def _before_conversion(self, module: str, path: str, conversion: Converted) -> str:
        # The experts of a mixture are stored one by one and stacked when they are loaded. An
        # adapter of transformers 4 has a module for each, with the name of the stored tensor.
        if path in self.names:
            return path
        raise _no_tensor(module, f"transformers converts it ({conversion})")


def _no_tensor(module: str, reason: str, rows: Mapping[str, Runs] | None = None) -> NotOneToOne:
    return NotOneToOne(
        f"module {module!r} has no tensor of its own in the base: {reason}",
        "Use the adapter with PEFT on the loaded model.",
        rows,
    )


@dataclass(frozen=True)
class Converted:
    """A stored name that a converter of transformers takes, by one of its patterns."""

    converter: Any
    renamed: str
    pattern: str

    def __str__(self) -> str:
        return ", ".join(type(operation).__name__ for operation in self.converter.operations)


def _renaming(
    model: Any, older: bool = False
) -> Callable[[str], list[tuple[str, Converted | None]]]:
    """From a stored name to the parameters that it is loaded into, each with what converts it.

    A name that is renamed only gives one parameter and None. Names whose meaning depends on
    others are read as those of an older version once such another came by, or if `older`.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import (
        GroupWeightRename,
        WeightConverter,
        WeightRenaming,
        rename_source_key,
    )

    transforms = get_model_conversion_mapping(model)
    for transform in transforms:
        if older and isinstance(transform, GroupWeightRename):
            transform._active = True  # type: ignore[assignment]
    renamings = [t for t in transforms if isinstance(t, WeightRenaming)]
    converters = [t for t in transforms if isinstance(t, WeightConverter)]
    by_pattern = {pattern: c for c in converters for pattern in c.source_patterns}
    state, prefix = model.state_dict(), model.base_model_prefix

    def rename(name: str) -> list[tuple[str, Converted | None]]:
        renamed, pattern = rename_source_key(name, renamings, converters, prefix, state)
        if renamed not in state and name in state:
            renamed, pattern = rename_source_key(name, [], [], prefix, state)
        if pattern is None:
            return [(renamed, None)]
        converter = by_pattern[pattern]
        conversion = Converted(converter, renamed, pattern)
        first = converter.target_patterns[0]
        return [(renamed.replace(first, t), conversion) for t in converter.target_patterns]

    return rename


def _tied(model: Any) -> dict[str, frozenset[str]]:
    """Parameter -> the parameters that share its value, itself too."""
    groups: dict[str, set[str]] = {}
    for target, source in model.all_tied_weights_keys.items():
        groups.setdefault(source, {source}).add(target)
    return {name: frozenset(group) for group in groups.values() for name in group}


def meta_model(checkpoint: Checkpoint) -> Any:
    """The model without weights; raises GgezError if transformers cannot build it."""
    import torch
    import transformers

    path = checkpoint.folder / CONFIG
    verbosity = transformers.logging.get_verbosity()
    # Remarks about token ids and defaults of the config: it is the base's, and only read.
    transformers.logging.set_verbosity_error()
    try:
        config = transformers.AutoConfig.from_pretrained(
            checkpoint.folder, trust_remote_code=False, local_files_only=True
        )
        with torch.device("meta"):
            # "eager": another implementation might be fetched as a kernel.
            model = _class_of(checkpoint, config)._from_config(
                config, dtype=torch.float32, attn_implementation="eager"
            )
    except Exception as error:  # a config from outside may break a model's code in any way
        raise GgezError(
            f"{path}: transformers {transformers.__version__} cannot build "
            f"{checkpoint.architecture or checkpoint.config['model_type']!r}: {error}",
            "Its tensors cannot be matched with an adapter's modules.",
        ) from error
    finally:
        transformers.logging.set_verbosity(verbosity)
    return model


def _class_of(checkpoint: Checkpoint, config: Any) -> Any:
    """The class that the checkpoint was saved from, else the Auto class's choice for its type."""
    import transformers

    found = (
        getattr(transformers, checkpoint.architecture, None) if checkpoint.architecture else None
    )
    if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel):
        return found
    for name in AUTO_CLASSES:
        mapping = getattr(transformers, name)._model_mapping
        if type(config) in mapping:
            choice = mapping[type(config)]
            return choice[0] if isinstance(choice, tuple | list) else choice
    raise ValueError(f"it has no model for the type {config.model_type!r}")
