"""PEFT's own layers, put on a float64 copy of one module at a time: their merge is the reference.

A method's arithmetic is not written again here. A model is built that has nothing but the module,
at its own path; PEFT's tuner wraps it, loads the adapter's tensors, and merges. Methods that keep
tensors for all modules together get all of them, with base weights that take no memory.
"""

from __future__ import annotations

import copy
import logging
import math
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.merging.adapters.module_delta import FLOATING, read_values
from ggez_hub.merging.adapters.peft_config import VARIANTS
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
# Sizes that PEFT allocates before it has seen a tensor, and the most that they, and all of them
# multiplied, may be.
SIZES = ("r", "init_r", "u", "num_vectors", "vector_length")
LARGEST, TOGETHER_LARGEST = 1 << 14, 1 << 26
LONGEST = {"theta_d_length": 1 << 26, "n_frequency": 1 << 28}

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
        with our_error(self.folder, kind), _quiet():
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
        config = peft_config(self.folder, self.config)
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


def peft_config(folder: Path, config: Mapping[str, Any]) -> Any:
    """PEFT's configuration of an adapter; raises BadAdapter for an option that it does not know."""
    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    kind = str(config["peft_type"])
    made = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(kind)]
    known = made.__dataclass_fields__
    if unknown := sorted(set(config) - set(known)):
        raise BadAdapter(
            f"{folder}: PEFT does not know the option {unknown[0]!r} of a {kind}",
            "It was made with another version of PEFT.",
        )
    with our_error(folder, kind):
        _require_sizes(folder, config)
    # auto_mapping names code to import; the task decides which class of PEFT's wraps the model.
    # What is saved beside the layers is none of theirs.
    own = {
        "auto_mapping": None,
        "task_type": None,
        "modules_to_save": None,
        "bias": "none",
        "trainable_token_indices": None,
    }
    changed = {name: value for name, value in own.items() if name in known}
    with our_error(folder, kind), _quiet():
        return made(**{**config, **changed, "inference_mode": True})


def _require_sizes(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise BadAdapter for sizes that no adapter has, before memory is asked for them."""
    options = [options for name in VARIANTS if isinstance(options := config.get(name), dict)]
    sizes = {name: config[name] for name in SIZES if isinstance(config.get(name), int)}
    sizes |= {k: v for own in options for k, v in own.items() if isinstance(v, int)}
    ranks = config.get("rank_pattern") or {}
    named = [(name, size, LARGEST) for name, size in (sizes | ranks).items()]
    named += [(name, config.get(name), longest) for name, longest in LONGEST.items()]
    for name, size, largest in named:
        if isinstance(size, int) and size > largest:
            raise BadAdapter(f"{folder}: {name} = {size} is not a size of an adapter")
    if math.prod(max(size, 1) for size in sizes.values()) > TOGETHER_LARGEST:
        raise BadAdapter(f"{folder}: {', '.join(sizes)} are not sizes of an adapter")


def named_modules(folder: Path, config: Mapping[str, Any], paths: Iterable[str]) -> list[str]:
    """Those of `paths` that the config names, by PEFT's own rule."""
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    made = peft_config(folder, config)
    matches = PEFT_TYPE_TO_TUNER_MAPPING[made.peft_type]._check_target_module_exists
    return [path for path in paths if path and matches(made, path)]


@contextmanager
def our_error(folder: Path, kind: str) -> Iterator[None]:
    """What PEFT raises as a BadAdapter with its words."""
    try:
        yield
    except BadAdapter:
        raise
    # A config and tensors from outside may break PEFT's code in any way.
    except Exception as error:
        problem = " ".join((str(error) or type(error).__name__).split())
        raise BadAdapter(
            f"{folder}: PEFT cannot merge this {kind}: {problem[:300]}",
            "Use the adapter as it is with PEFT.",
        ) from error


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


@contextmanager
def _quiet() -> Iterator[None]:
    """Without PEFT's remarks: about options of the config, which are the adapter's author's."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
