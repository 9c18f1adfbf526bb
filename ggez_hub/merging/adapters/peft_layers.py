"""PEFT's own layers, put on a float64 copy of one module at a time: their merge is the reference.

A method's arithmetic is not written again here. A model is built that has nothing but the module,
at its own path; PEFT's tuner wraps it, loads the adapter's tensors, and merges. Methods that keep
tensors for all modules together get all of them, with base weights that take no memory.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.merging.adapters.module_delta import FLOATING, read_values
from ggez_hub.merging.adapters.peft_model_config import (
    named_modules,
    our_error,
    peft_config,
    quiet,
    without_patterns,
)
from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.safetensors_header import WeightFile

if TYPE_CHECKING:
    import torch
    from torch import nn

ADAPTER = "default"
# Methods whose tensors depend on all adapted modules, beside those that PEFT says it of
# (`uses_shared_state`): RandLoRA's projections are as large as the largest module asks for,
# AdaLoRA's rank_pattern names all modules.
TOGETHER = frozenset({"ADALORA", "RANDLORA"})
# Methods that want the base in float32 while they take its singular values.
SINGLE = frozenset({"PSOFT"})
# Numbers that PEFT counts by itself, and does not save.
NOT_SAVED = ".ranknum."
Weights = Mapping[str, "torch.Tensor"]
"""The parameters of a module by their names: `weight`, `bias`."""


@dataclass(frozen=True)
class PeftLayers:
    """An adapter as PEFT's tuner for `config`, for the modules that it changes.

    folder   where it comes from, for messages
    modules  by path as the adapter names them, in the model's order, without values (meta device)
    keys     of the adapter's tensors in `file`: those of each module, and under "" those of all
    """

    folder: Path
    config: Mapping[str, Any]
    modules: Mapping[str, nn.Module]
    file: WeightFile
    keys: Mapping[str, Collection[str]]
    _built: list[Any] = field(default_factory=list)

    def merged(self, path: str, weights: Weights) -> dict[str, torch.Tensor]:
        """The parameters of the module at `path` after PEFT's merge, in float64.

        `weights` are those before, in float64, which may be changed. Raises BadAdapter.
        """
        kind = self.config["peft_type"]
        with our_error(self.folder, kind), quiet():
            if self._together:
                if not self._built:
                    self._built.append(self._wrapped({p: {} for p in self.modules}))
                model = self._built[0]
            else:
                model = self._wrapped({path: weights})
            layer = model.base_model.model.get_submodule(path)
            if self._together or kind in SINGLE:
                _put(layer.get_base_layer(), weights)
            layer.merge(safe_merge=True)
            own = layer.get_base_layer().named_parameters(recurse=False)
            after = {name: parameter.detach() for name, parameter in own}
            if self._together:
                _put(layer.get_base_layer(), {})
                layer.merged_adapters.clear()
        return after

    @cached_property
    def _together(self) -> bool:
        from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

        kind = self.config["peft_type"]
        return kind in TOGETHER or PEFT_TYPE_TO_TUNER_MAPPING[kind].uses_shared_state

    def _wrapped(self, weights: Mapping[str, Weights]) -> Any:
        """PEFT's model of the modules at the paths in `weights`, with the adapter loaded."""
        import peft

        single = self.config["peft_type"] in SINGLE
        skeleton = _skeleton({path: self.modules[path] for path in weights})
        for path, own in weights.items():
            values = {name: t.float() for name, t in own.items()} if single else own
            _put(skeleton.get_submodule(path), values)
        named = named_modules(self.folder, self.config, weights)
        if unnamed := weights.keys() - set(named):
            raise BadAdapter(
                f"{self.folder}: its configuration does not name {min(unnamed)!r}, which it changes"
            )
        config = peft_config(self.folder, without_patterns(self.folder, self.config, named))
        # What PEFT draws at random the adapter's tensors replace, all of it.
        model = peft.PeftModel(skeleton, config, ADAPTER, autocast_adapter_dtype=False)
        # Some parameters PEFT makes in float32, whatever the base is.
        model.eval().double()
        keys = [key for path in ("", *weights) for key in self.keys.get(path, ())]
        self._load(model, {key: self._read(key) for key in keys})
        return model

    def _read(self, key: str) -> torch.Tensor:
        """A tensor of the adapter: float64, or integers as they are."""
        from safetensors import safe_open

        if self.file.tensors[key].dtype in FLOATING:
            return read_values(self.file, key)
        with safe_open(self.file.path, framework="pt") as opened:
            indices: torch.Tensor = opened.get_tensor(key)
        return indices

    def _load(self, model: Any, tensors: Weights) -> None:
        """Load the adapter's tensors; raises BadAdapter for one that is missing, or too many."""
        import peft

        result: Any = peft.set_peft_model_state_dict(model, dict(tensors), ADAPTER)
        if result.unexpected_keys:
            raise BadAdapter(
                f"{self.folder}: PEFT finds no place for {result.unexpected_keys[0]!r}",
                "PEFT would silently ignore it.",
            )
        state = model.state_dict(keep_vars=True)
        missing = {key for key in result.missing_keys if f".{ADAPTER}" in key}
        loaded = {t.data_ptr() for key, t in state.items() if key not in result.missing_keys}
        for key in sorted(missing):
            # One tensor may stand under the names of all modules that share it.
            if state[key].numel() and state[key].data_ptr() not in loaded and NOT_SAVED not in key:
                raise BadAdapter(f"{self.folder} lacks {key.replace(f'.{ADAPTER}', '')!r}")


def _skeleton(modules: Mapping[str, nn.Module]) -> nn.Module:
    """A model that has copies of these modules at their paths, and nothing else."""
    from torch import nn

    root = nn.Module()
    for path, module in modules.items():
        *around, name = path.split(".")
        parent = root
        for step in around:
            if step not in dict(parent.named_children()):
                parent.add_module(step, nn.Module())
            parent = parent.get_submodule(step)
        parent.add_module(name, copy.deepcopy(module))
    return root


def _put(module: nn.Module, weights: Weights) -> None:
    """Give a module these parameters; zeros without memory where there is none."""
    import torch

    for name, parameter in module.named_parameters(recurse=False):
        value = weights.get(name)
        if value is None:
            value = torch.zeros((), dtype=torch.float64).expand(parameter.shape)
        setattr(module, name, torch.nn.Parameter(value, requires_grad=False))
