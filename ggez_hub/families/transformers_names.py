"""Names of transformers models: from the modules of a model in memory to its stored tensors.

Checkpoints keep the names of the transformers version (or of the research code) that wrote them;
`from_pretrained` renames and reshapes while it loads. PEFT writes adapters under the names in
memory. The way back is not a table: the model is built on the meta device from config.json, every
stored name is sent through transformers' own conversion, and the result is inverted. Where that
is not one tensor to one, a module is refused by name.

Source: transformers.core_model_loading.convert_and_load_state_dict_in_model (5.23), whose order
of renamings and whose fallback are followed here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from ggez_hub.errors import MissingExtra
from ggez_hub.families.base import KeyMap, NotOneToOne, TiedWeight
from ggez_hub.families.transformers_folder import CONFIG, BadCheckpoint, Checkpoint, read_checkpoint

# Classes for a config that names none: the head that most checkpoints of the type have.
AUTO_CLASSES = ("AutoModelForImageTextToText", "AutoModelForCausalLM", "AutoModel")


def transformers_key_map(folder: Path, names: Collection[str]) -> KeyMap:
    """The key map of a transformers folder whose tensors are `names`.

    Raises MissingExtra, or BadCheckpoint if transformers knows no such model. The map itself
    raises NotOneToOne or TiedWeight for a module whose weight is no stored tensor of its own.
    """
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtra("transformers", "merge")
    checkpoint = read_checkpoint(folder)
    return _StoredNames(_meta_model(checkpoint), names).tensor


class _StoredNames:
    """Which stored tensor is loaded into which parameter of a model."""

    def __init__(self, model: Any, names: Collection[str]) -> None:
        from transformers.core_model_loading import dot_natural_key

        self.names = names
        self.parameters = set(model.state_dict())
        self.tied = _tied(model)
        # Parameter -> stored tensor, where the tensor is loaded as it is.
        self.stored: dict[str, str] = {}
        # Parameter -> why no stored tensor is its value.
        self.changed: dict[str, str] = {}
        rename = _renaming(model)
        # The loader's order: some renamings depend on names that came before.
        for name in sorted(names, key=dot_natural_key):
            for parameter, conversion in rename(name):
                if conversion is not None:
                    self.changed[parameter] = f"transformers converts it ({conversion})"
                elif parameter in self.stored:
                    both = f"{self.stored[parameter]!r} and {name!r}"
                    self.changed[parameter] = f"the base has both {both} for it"
                else:
                    self.stored[parameter] = name
        # Renamings may remember what they have seen: adapters get fresh ones.
        self.rename = _renaming(model)

    def tensor(self, module: str) -> str | None:
        """The stored tensor that is the weight of `module`; None if the base has none.

        `module` is a path in memory, or the path that an older transformers gave the module.
        """
        path = f"{module}.weight"
        renamed = self.rename(path)
        found = {name for name, conversion in renamed if conversion is None}
        found = (found | {path}) & self.parameters
        if len(found) > 1:
            raise NotOneToOne(
                f"module {module!r} may be {' or '.join(map(repr, sorted(found)))}: "
                "its name has changed its meaning between versions of transformers"
            )
        if not found:
            return self._of_an_older_model(module, [c for _, c in renamed if c is not None])
        (parameter,) = found
        if parameter in self.tied:
            sharing = sorted(self.tied[parameter] - {parameter})
            raise TiedWeight(module, self._stored_any(self.tied[parameter]), sharing)
        if parameter in self.changed:
            raise NotOneToOne(
                f"module {module!r} has no tensor of its own in the base: "
                f"{self.changed[parameter]}",
                "Use the adapter with PEFT on the loaded model.",
            )
        return self.stored.get(parameter)

    def _of_an_older_model(self, module: str, conversions: list[str]) -> str | None:
        # The experts of a mixture are stored one by one and stacked when they are loaded. An
        # adapter of transformers 4 has a module for each, with the name of the stored tensor.
        path = f"{module}.weight"
        if not conversions or path in self.names:
            return path if conversions else None
        raise NotOneToOne(
            f"module {module!r} has no tensor of its own in the base: transformers converts it "
            f"({conversions[0]})",
            "Use the adapter with PEFT on the loaded model.",
        )

    def _stored_any(self, parameters: Collection[str]) -> str | None:
        return next((self.stored[p] for p in sorted(parameters) if p in self.stored), None)


def _renaming(model: Any) -> Callable[[str], list[tuple[str, str | None]]]:
    """From a stored name to the parameters that it is loaded into, each with what converts it.

    A name that is renamed only gives one parameter and None.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

    transforms = get_model_conversion_mapping(model)
    renamings = [t for t in transforms if isinstance(t, WeightRenaming)]
    converters = [t for t in transforms if isinstance(t, WeightConverter)]
    by_pattern = {pattern: c for c in converters for pattern in c.source_patterns}
    state, prefix = model.state_dict(), model.base_model_prefix

    def rename(name: str) -> list[tuple[str, str | None]]:
        renamed, pattern = rename_source_key(name, renamings, converters, prefix, state)
        if renamed not in state and name in state:
            renamed, pattern = rename_source_key(name, [], [], prefix, state)
        if pattern is None:
            return [(renamed, None)]
        converter = by_pattern[pattern]
        conversion = ", ".join(type(operation).__name__ for operation in converter.operations)
        first = converter.target_patterns[0]
        return [(renamed.replace(first, t), conversion) for t in converter.target_patterns]

    return rename


def _tied(model: Any) -> dict[str, frozenset[str]]:
    """Parameter -> the parameters that share its value, itself too."""
    groups: dict[str, set[str]] = {}
    for target, source in model.all_tied_weights_keys.items():
        groups.setdefault(source, {source}).add(target)
    return {name: frozenset(group) for group in groups.values() for name in group}


def _meta_model(checkpoint: Checkpoint) -> Any:
    """The model without weights; raises BadCheckpoint if transformers cannot build it."""
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
        raise BadCheckpoint(
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
