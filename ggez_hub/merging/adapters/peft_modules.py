"""From the sorted keys of a PEFT file to the parts that change the base's tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from struct import pack, unpack

from ggez_hub.families.family import TiedWeight
from ggez_hub.families.skeleton import WITH_CONV1D, module_tree
from ggez_hub.merging.adapters.dora import Dora
from ggez_hub.merging.adapters.lycoris import LoHa, LoKr
from ggez_hub.merging.adapters.module_delta import LowRank, ModuleDelta, Scaled, Sum
from ggez_hub.merging.adapters.peft_config import (
    is_off,
    lycoris_rank_and_scale,
    moved_by,
    scale_of,
)
from ggez_hub.merging.adapters.peft_folder import PeftFolder
from ggez_hub.merging.adapters.pissa import PissaLora
from ggez_hub.merging.adapters.saved_parameters import Rows, Saved, saved_parameters, token_rows
from ggez_hub.merging.deltas import BadAdapter

TOKENS = "token_adapter.trainable_tokens_delta"
MAGNITUDE = "lora_magnitude_vector"
LORA_BIAS = "lora_B.bias"


class PeftLoraBuilder:
    """Builds the parts of one PEFT folder for one base."""

    def __init__(self, source: PeftFolder) -> None:
        """For what `source` says."""
        self.source = source
        self.folder, self.file, self.config = source.folder, source.file, source.config
        self.base = source.base

    def build(
        self, parts: Mapping[str, Mapping[str, str]], saved: Mapping[str, str]
    ) -> dict[str, ModuleDelta]:
        """The parts by the tensor that they change; raises BadAdapter or WrongBase."""
        replaced = saved_parameters(self.source, parts, saved)
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
            # PEFT holds the scale of a LoHa in float32: what the adapter was trained with.
            scale = unpack("f", pack("f", scale))[0] if form is LoHa else scale
            product = form(self.source.weight(module), self.file, dict(keys), scale, rank)
            product.check(self.base)
            yield product
            return
        if TOKENS in keys:
            yield token_rows_of(self.source, module, keys)
            return
        low = self._low_rank(module, keys, transposed)
        if bool(self.config.get("use_dora")) != (MAGNITUDE in keys):
            raise BadAdapter(
                f"{self.file.path}: use_dora = {self.config.get('use_dora')!r}, but module "
                f"{module!r} has {'a' if MAGNITUDE in keys else 'no'} magnitude vector"
            )
        part: LowRank | PissaLora = low
        # A weight that was saved is that after the move.
        if (start := moved_by(self.config)) is not None and low.target not in replaced:
            part = PissaLora(low, start)
        if MAGNITUDE in keys:
            # Transposed tensors, embeddings among them, have their outputs on the second axis.
            dora = Dora(
                part, keys[MAGNITUDE], of_columns=low.transposed, frozen=replaced.get(low.target)
            )
            dora.check(self.base)
            yield dora
        else:
            part.check(self.base)
            yield part
        if LORA_BIAS in keys:
            bias = Scaled(
                self.source.parameter(module, "bias"), self.file, keys[LORA_BIAS], low.scale
            )
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
            self.source.weight(module),
            self.file,
            keys[f"{prefix}A"],
            keys[f"{prefix}B"],
            scale,
            transposed=embedding or transposed,
        )

    def _transposed(self, parts: Mapping[str, Mapping[str, str]]) -> dict[str, bool]:
        """Which modules store (in, out), as GPT-2's Conv1D does: by their shapes, if these say so.

        PEFT decides by the class of the layer and writes its last decision as `fan_in_fan_out`:
        of a square matrix in a model of both kinds of layers that says nothing.
        """
        told, square = {}, []
        for module, keys in parts.items():
            if not {"lora_A", "lora_B"} <= keys.keys():
                continue
            a, b = (self.file.tensors[keys[part]].shape for part in ("lora_A", "lora_B"))
            stored = self.base[self.source.weight(module)].shape
            if len(a) != 2 or len(b) != 2 or len(stored) != 2:
                continue
            if a[1] == b[0]:
                square.append(module)
            else:
                told[module] = stored == (a[1], b[0])
        declared = bool(self.config.get("fan_in_fan_out"))
        said = set(told.values())
        if declared and said == {False} and not square:
            raise BadAdapter(
                f"{self.folder}: fan_in_fan_out = True, but by their shapes none of its modules is "
                "stored as (in, out)"
            )
        return told | self._transposed_by_class(square)

    def _transposed_by_class(self, modules: Sequence[str]) -> dict[str, bool]:
        """The same for square matrices, by the classes of the base's modules."""
        layout = self.source.family.layout(self.base.folder)
        if not modules or layout.library not in WITH_CONV1D:
            return dict.fromkeys(modules, False)
        tree = module_tree(self.base.folder, layout)
        # By tensor: an adapter may name its modules as an older version did.
        weight, key_map = self.source.weight, self.source.key_map
        conv1d = {key_map(path) for path, m in tree.items() if type(m).__name__ == "Conv1D"}
        return {module: weight(module) in conv1d for module in modules}


def token_rows_of(source: PeftFolder, module: str, keys: Mapping[str, str]) -> Rows:
    """The rows of tokens that PEFT trained in a module; raises BadAdapter, WrongBase."""
    if set(keys) != {TOKENS}:
        raise BadAdapter(f"{source.file.path}: {module!r} has trainable tokens and a LoRA at once")
    if is_off(option := source.config.get("trainable_token_indices")):
        raise BadAdapter(f"{source.file.path}: trainable_token_indices names no tokens")
    return rows_of(source, module, keys[TOKENS], option)


def rows_of(source: PeftFolder, module: str, key: str, option: object) -> Rows:
    """The rows of an embedding that `key` replaces; `option` names them in PEFT's config."""
    try:
        target = source.weight(module)
    except TiedWeight as tied:
        # PEFT changes the tokens of all tied modules alike.
        if tied.tensor is None:
            raise
        target = tied.tensor
    rows = Rows(target, source.file, key, token_rows(option, module, source.folder))
    rows.check(source.base)
    return rows
