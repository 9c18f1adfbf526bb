"""From the sorted keys of a PEFT file to the parts that change the base's tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ggez_hub.families import KeyMap
from ggez_hub.families.base import TiedWeight
from ggez_hub.merging.adapters.dora import Dora
from ggez_hub.merging.adapters.lycoris import LoHa, LoKr
from ggez_hub.merging.adapters.modules import LowRank, ModuleDelta, Scaled, Sum
from ggez_hub.merging.adapters.peft_config import (
    is_off,
    lycoris_rank_and_scale,
    scale_of,
)
from ggez_hub.merging.adapters.saved import Rows, Saved, token_rows
from ggez_hub.merging.deltas import BadAdapter, WeightIndex, WrongBase
from ggez_hub.weights import WeightFile

TOKENS = "token_adapter.trainable_tokens_delta"
MAGNITUDE = "lora_magnitude_vector"
LORA_BIAS = "lora_B.bias"


class Builder:
    """Builds the parts of one PEFT folder for one base."""

    def __init__(
        self,
        folder: Path,
        file: WeightFile,
        config: Mapping[str, Any],
        key_map: KeyMap,
        base: WeightIndex,
    ) -> None:
        """For the adapter in `folder`: its weights, its checked config, and the base's names."""
        self.folder, self.file, self.config = folder, file, config
        self.key_map, self.base = key_map, base

    def build(
        self, parts: Mapping[str, Mapping[str, str]], saved: Mapping[str, str]
    ) -> dict[str, ModuleDelta]:
        """The parts by the tensor that they change; raises BadAdapter or WrongBase."""
        replaced = self._saved(parts, saved)
        transposed = self._transposed(parts)
        modules: dict[str, ModuleDelta] = {}
        for module, keys in sorted(parts.items()):
            for part in self._module(module, keys, transposed.get(module, False), replaced):
                if part.target in modules:
                    raise BadAdapter(
                        f"{self.file.path}: two modules change the tensor {part.target!r}"
                    )
                modules[part.target] = part
        for target, whole in replaced.items():
            if target not in modules:
                modules[target] = whole
            elif not isinstance(modules[target], Dora):
                # A DoRA has taken the saved weight for its own.
                modules[target] = Sum(target, (whole, modules[target]))
        return modules

    def _module(
        self,
        module: str,
        keys: Mapping[str, str],
        transposed: bool,
        replaced: Mapping[str, Saved],
    ) -> Iterator[ModuleDelta]:
        kind = self.config["peft_type"]
        if kind in {"LOHA", "LOKR"}:
            rank, scale = lycoris_rank_and_scale(self.config, module, self.file.path)
            form = LoHa if kind == "LOHA" else LoKr
            product = form(self._weight(module), self.file, dict(keys), scale)
            product.check(self.base, rank)
            yield product
            return
        if TOKENS in keys:
            yield self._rows(module, keys)
            return
        low = self._low_rank(module, keys, transposed)
        if bool(self.config.get("use_dora")) != (MAGNITUDE in keys):
            raise BadAdapter(
                f"{self.file.path}: use_dora = {self.config.get('use_dora')!r}, but module "
                f"{module!r} has {'a' if MAGNITUDE in keys else 'no'} magnitude vector"
            )
        if MAGNITUDE in keys:
            dora = Dora(low, keys[MAGNITUDE], replaced.get(low.target))
            dora.check(self.base)
            yield dora
        else:
            low.check(self.base)
            yield low
        if LORA_BIAS in keys:
            bias = Scaled(self._parameter(module, "bias"), self.file, keys[LORA_BIAS], low.scale)
            bias.check(self.base)
            yield bias

    def _low_rank(self, module: str, keys: Mapping[str, str], transposed: bool) -> LowRank:
        embedding = "lora_embedding_A" in keys
        prefix = "lora_embedding_" if embedding else "lora_"
        needed = {f"{prefix}A", f"{prefix}B"}
        # PEFT gives embeddings no bias.
        if self.config.get("lora_bias") and not embedding:
            needed.add(LORA_BIAS)
        if set(keys) - {MAGNITUDE} != needed:
            raise BadAdapter(
                f"{self.file.path}: module {module!r} has only {', '.join(sorted(keys))} "
                f"(lora_bias = {self.config.get('lora_bias')!r})"
            )
        if LORA_BIAS in keys and MAGNITUDE in keys:
            raise BadAdapter(f"{self.folder}: use_dora with lora_bias is nothing PEFT makes")
        rank = (self.file.tensors[keys[f"{prefix}A"]].shape or (0,))[0]
        scale = scale_of(self.config, module, rank, self.file.path)
        return LowRank(
            self._weight(module),
            self.file,
            keys[f"{prefix}A"],
            keys[f"{prefix}B"],
            scale,
            transposed=embedding or transposed,
        )

    def _transposed(self, parts: Mapping[str, Mapping[str, str]]) -> dict[str, bool]:
        """Which modules store (in, out), as GPT-2's Conv1D does: by their shapes, if these say so.

        PEFT decides by the class of the layer and writes its last decision as `fan_in_fan_out`: for
        a square matrix that is the truth only where no other module says otherwise.
        """
        told, square = {}, []
        for module, keys in parts.items():
            if not {"lora_A", "lora_B"} <= keys.keys():
                continue
            a, b = (self.file.tensors[keys[part]].shape for part in ("lora_A", "lora_B"))
            stored = self.base[self._weight(module)].shape
            if len(a) != 2 or len(b) != 2 or len(stored) != 2:
                continue
            if a[1] == b[0]:
                square.append(module)
            else:
                told[module] = stored == (a[1], b[0])
        declared = bool(self.config.get("fan_in_fan_out"))
        said = set(told.values())
        if (said == {not declared} and (declared or square)) or (square and len(said) > 1):
            raise BadAdapter(
                f"{self.folder}: fan_in_fan_out = {declared} and the shapes of its modules do not "
                "agree: which way round a square matrix goes cannot be known"
            )
        return told | dict.fromkeys(square, declared)

    def _saved(
        self, parts: Mapping[str, Mapping[str, str]], saved: Mapping[str, str]
    ) -> dict[str, Saved]:
        """The whole parameters that differ from the base's, by the tensor that they replace."""
        names: dict[str, str] = {}
        replaced: dict[str, Saved] = {}
        for path, key in saved.items():
            module, _, leaf = path.rpartition(".")
            if module.endswith(".base_layer") != (module.removesuffix(".base_layer") in parts):
                raise BadAdapter(
                    f"{self.file.path}: {key!r} is no key of a PEFT adapter with these modules",
                    "PEFT would silently ignore it.",
                )
            module = module.removesuffix(".base_layer")
            tied: TiedWeight | None = None
            try:
                target = self._parameter(module, leaf)
            except TiedWeight as error:
                if error.tensor is None:
                    raise
                target, tied = error.tensor, error
            whole = Saved(target, self.file, key)
            names[path] = target
            if whole.changes(self.base):
                if tied is not None:
                    raise tied
                replaced[target] = whole
        self._require_saved(parts, names)
        return replaced

    def _require_saved(
        self, parts: Mapping[str, Mapping[str, str]], names: Mapping[str, str]
    ) -> None:
        """What the config says was saved is there, whole."""
        if (bias := self.config.get("bias", "none")) != "none":
            layers = [module for module, keys in parts.items() if "lora_A" in keys]
            only = bias == "lora_only"
            weights = {self._weight(module) for module in layers} if only else set(self.base)
            expected = {f"{name.rpartition('.')[0]}.bias" for name in weights} & set(self.base)
            if expected and not any(path.endswith(".bias") for path in names):
                raise BadAdapter(f"{self.folder}: bias = {bias!r}, but no bias is saved")
        required: dict[str, str] = {}
        for entry in self.config.get("modules_to_save") or ():
            found = False
            for path, target in names.items():
                for owner in _ancestors(path):
                    rest = path[len(owner) :]
                    if owner.endswith(entry) and target.endswith(rest):
                        found = True
                        prefix = target.removesuffix(rest) + "."
                        required |= {n: entry for n in self.base if n.startswith(prefix)}
            if not found and any(
                name == entry or owner.endswith(entry)
                for name in self.base
                for owner in _ancestors(name)
            ):
                raise BadAdapter(
                    f"{self.folder}: modules_to_save names {entry!r}, but nothing of it is saved"
                )
        if missing := sorted(required.keys() - set(names.values())):
            raise BadAdapter(
                f"{self.folder}: modules_to_save names {required[missing[0]]!r}, but "
                f"{missing[0]!r} is not saved"
            )

    def _rows(self, module: str, keys: Mapping[str, str]) -> Rows:
        if set(keys) != {TOKENS}:
            raise BadAdapter(
                f"{self.file.path}: {module!r} has trainable tokens and a LoRA at once"
            )
        if is_off(option := self.config.get("trainable_token_indices")):
            raise BadAdapter(f"{self.file.path}: trainable_token_indices names no tokens")
        try:
            target = self._weight(module)
        except TiedWeight as tied:
            # PEFT changes the tokens of all tied modules alike.
            if tied.tensor is None:
                raise
            target = tied.tensor
        rows = Rows(target, self.file, keys[TOKENS], token_rows(option, module, self.folder))
        rows.check(self.base)
        return rows

    def _weight(self, module: str) -> str:
        return self._parameter(module, "weight")

    def _parameter(self, module: str, leaf: str) -> str:
        """The base's tensor for a parameter of a module; raises WrongBase, or as the key map."""
        found = find_parameter(self.key_map, self.base, module, leaf)
        if found is None:
            raise WrongBase(
                f"{self.folder} changes a module {module!r} ({leaf}) that the base in "
                f"{self.base.folder} does not have",
                "The adapter was trained on another model.",
            )
        return found


def find_parameter(key_map: KeyMap, base: WeightIndex, module: str, leaf: str) -> str | None:
    """The base's tensor for the parameter `leaf` of a module, if it has one; raises as the map."""
    weight = key_map(module)
    if leaf == "weight":
        found = weight
    elif weight is None:
        # A module without a weight of its own: only its own name can be its parameter's.
        found = f"{module}.{leaf}".lstrip(".")
    else:
        found = f"{weight.rpartition('.')[0]}.{leaf}"
    return found if found in base else None


def _ancestors(path: str) -> Iterator[str]:
    """The paths of the modules around a parameter, the nearest first."""
    while "." in path:
        path = path.rpartition(".")[0]
        yield path
