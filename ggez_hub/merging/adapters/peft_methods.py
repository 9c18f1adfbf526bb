"""From the keys of a PEFT folder to parts that PEFT's own layers compute: OFT, VeRA and others.

Delta = W' - W, whatever the method: base + beta * Delta is as well defined for a rotation W' = R W
as for a sum. Such adapters have a merged form only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ggez_hub.families.family import NotOneToOne, TiedWeight
from ggez_hub.merging.adapters.finetune import same_values
from ggez_hub.merging.adapters.module_delta import ModuleDelta, by_target, require_room
from ggez_hub.merging.adapters.peft_config import BIAS, METHODS, WEIGHT
from ggez_hub.merging.adapters.peft_folder import TOKENS, PeftOnBase
from ggez_hub.merging.adapters.peft_layers import PeftLayers
from ggez_hub.merging.adapters.peft_model_config import named_modules
from ggez_hub.merging.adapters.saved_parameters import (
    Saved,
    one_of_each,
    rows_of,
    saved_parameters,
)
from ggez_hub.merging.delta_rows import RowDelta, Whole
from ggez_hub.merging.deltas import BadAdapter, WeightIndex, WrongBase

if TYPE_CHECKING:
    import torch
    from torch import nn

MODEL, MODULE = "base_model.", "base_model.model."


@dataclass(frozen=True)
class PeftLayer:
    """Delta of one parameter of a module, by PEFT's own layer.

    `leaf` is its name in the module, `starts` what each parameter of the module is before: a
    tensor of the base, or what the adapter saved in its place.
    """

    target: str
    path: str
    leaf: str
    starts: Mapping[str, str | Saved]
    layers: PeftLayers

    def by_rows(self, base: WeightIndex) -> RowDelta:
        return Whole(self.merged(base)[self.leaf].double() - base.read(self.target))

    def merged(self, base: WeightIndex) -> Mapping[str, torch.Tensor]:
        """All parameters of the module after the merge; raises BadAdapter for one without a part."""
        import torch

        before = {
            leaf: base.read(start) if isinstance(start, str) else start.stored()
            for leaf, start in self.starts.items()
        }
        # Copies, whatever the dtype: some methods merge in place.
        copies = {leaf: t.to(torch.float64, copy=True) for leaf, t in before.items()}
        after = self.layers.merged(self.path, copies)
        changed = changed_by(self.layers.config)
        for leaf, tensor in after.items():
            known = leaf in changed or (
                leaf in before and torch.equal(tensor, before[leaf].double())
            )
            if not known or leaf not in before:
                raise BadAdapter(
                    f"{self.layers.folder}: PEFT changes {leaf!r} of {self.path!r} too, which is "
                    "not merged here"
                )
        return after


def changed_by(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The parameters of a module that an adapter's method changes."""
    if config["peft_type"] in METHODS:
        return METHODS[config["peft_type"]]
    return (WEIGHT, BIAS) if config.get("lora_bias") else (WEIGHT,)


def open_by_layers(source: PeftOnBase) -> dict[str, ModuleDelta]:
    """The parts of an adapter by the tensor that they change; raises BadAdapter or WrongBase."""
    if source.config["peft_type"] == "TRAINABLE_TOKENS":
        return token_parts(source)
    return _Builder(source).build()


def token_parts(source: PeftOnBase) -> dict[str, ModuleDelta]:
    """Rows of embeddings, which PEFT changes alike in all modules that share them."""
    keys: dict[str, str] = {}
    saved: dict[str, str] = {}
    for key in source.file.tensors:
        path = key.removeprefix(MODULE)
        module, separator, rest = path.rpartition(".trainable_tokens_delta")
        if key.startswith(MODULE) and path.endswith(".base_layer.weight"):
            saved[path] = key
        elif not key.startswith(MODULE) or not separator or rest:
            raise BadAdapter(f"{source.file.path}: {key!r} is not a key of trainable tokens")
        else:
            keys[module] = key
    replaced = saved_parameters(source, {module: {} for module in keys}, saved)
    option = source.config.get("token_indices")
    rows = (rows_of(source, module, key, option) for module, key in keys.items())
    parts = one_of_each(rows, source, replaced)
    return dict(parts)


class _Builder:
    """Builds the parts of one adapter for one base."""

    def __init__(self, source: PeftOnBase) -> None:
        from peft import PeftType
        from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING

        self.source = source
        self.kind = str(source.config["peft_type"])
        self._prefix = PEFT_TYPE_TO_PREFIX_MAPPING[PeftType(self.kind)]
        self._parts: dict[str, dict[str, str]] = {}
        self._shared: list[str] = []
        self._saved: dict[str, str] = {}
        self._tokens: dict[str, str] = {}
        for key in source.file.tensors:
            self._sort(key)

    def _sort(self, key: str) -> None:
        if key.startswith(MODULE):
            path = key.removeprefix(MODULE)
            module, separator, part = path.rpartition(f".{self._prefix}")
            if path.endswith(f".{TOKENS}"):
                self._tokens[path.removesuffix(f".{TOKENS}")] = key
            elif separator:
                self._parts.setdefault(module, {})[part] = key
            else:
                self._saved[path] = key
        elif key.startswith(MODEL):
            self._shared.append(key)
        else:
            raise BadAdapter(f"{self.source.file.path}: {key!r} is not a key of a PEFT adapter")

    def build(self) -> dict[str, ModuleDelta]:
        """The parts, of which the smallest was tried: what PEFT refuses is refused at once."""
        source, modules = self.source, self._modules()
        parts = {path: self._parts.get(path, {}) for path in modules}
        replaced = saved_parameters(self.source, parts, self._saved)
        keys = {path: tuple(own.values()) for path, own in parts.items()} | {"": self._shared}
        layers = PeftLayers(source.folder, source.config, modules, source.file, keys)
        option = source.config.get("trainable_token_indices")
        tokens = [rows_of(source, path, key, option) for path, key in self._tokens.items()]
        changed = (
            part
            for path, module in modules.items()
            for part in self._module(path, module, replaced, layers)
        )
        found = by_target(changed, source.file.path)
        if not found:
            raise BadAdapter(f"{source.file.path} changes nothing that {self.kind} can change")
        min(found.values(), key=lambda part: source.base[part.target].nbytes).merged(source.base)
        rows = {part.target: part for part in tokens}
        if len(rows) < len(tokens) or rows.keys() & (found.keys() | replaced.keys()):
            raise BadAdapter(f"{source.file.path} changes the tokens of a tensor in two ways")
        return {**replaced, **found, **rows}

    def _module(
        self, path: str, module: nn.Module, replaced: Mapping[str, Saved], layers: PeftLayers
    ) -> Iterator[PeftLayer]:
        targets = self._targets(path, module)
        starts = {leaf: replaced.get(target, target) for leaf, target in targets.items()}
        parts = [
            PeftLayer(targets[leaf], path, leaf, starts, layers)
            for leaf in changed_by(self.source.config)
            if leaf in targets
        ]
        if len(parts) > 1:
            # IA3 leaves the bias of a layer alone whose input it scales.
            base = self.source.base
            after = parts[0].merged(base)
            parts = [p for p in parts if not same_values(after[p.leaf], base.read(p.target))]
        yield from parts

    def _modules(self) -> dict[str, nn.Module]:
        """The adapted modules by the paths of the file, in the model's order; raises WrongBase."""
        source = self.source
        tree = source.tree
        by_tensor: dict[str, tuple[int, str]] = {}
        for number, path in enumerate(tree):
            try:
                tensor = source.key_map(path)
            except (NotOneToOne, TiedWeight):
                continue
            if tensor is not None:
                by_tensor.setdefault(tensor, (number, path))
        # A method may save nothing for each module by itself.
        paths = self._parts or named_modules(source.folder, source.config, tree)
        found = []
        for path in paths:
            tensor = source.weight(path)
            if tensor not in by_tensor:
                raise WrongBase(
                    f"{source.folder} changes {path!r}, which is not a module of the base"
                )
            found.append((*by_tensor[tensor], path))
        return {path: tree[own] for _, own, path in sorted(found)}

    def _targets(self, path: str, module: nn.Module) -> dict[str, str]:
        """The base's tensors for the parameters of a module; raises WrongBase for another shape."""
        targets = {}
        for leaf, parameter in module.named_parameters(recurse=False):
            target = self.source.parameter(path, leaf)
            require_room(self.source.base, target, tuple(parameter.shape), self.source.file)
            targets[leaf] = target
        return targets
