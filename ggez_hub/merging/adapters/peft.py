"""Deltas of a PEFT folder: LoRA with its variants, LoHa, LoKr, and what they save beside.

Other methods are left to PEFT's own layers: adapters/peft_methods.py.

PiSSA and OLoRA: training began with a part of the base moved into the adapter, W = W' + s * B0 @ A0,
and the stored B and A are trained ones: with the base as published Delta = s * B @ A - s * B0 @ A0.
What was taken away is that of the r largest singular values of W (PiSSA, arXiv 2404.02948), or of the
first r columns of its QR decomposition times s (OLoRA, arXiv 2406.01775). PEFT computes it in float32
when it loads such an adapter (peft/tuners/lora/layer.py: pissa_init, olora_init) and rounds W' to the
base's dtype; here it is float64 throughout. Where the base does not determine it, the adapter is
refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import pack, unpack
from typing import TYPE_CHECKING

from ggez_hub.families import Family
from ggez_hub.families.family import NotOneToOne
from ggez_hub.families.transformers_names import WITH_CONV1D, have_outputs_first
from ggez_hub.merging.adapters.dora import Dora
from ggez_hub.merging.adapters.lycoris import LoHa, LoKr
from ggez_hub.merging.adapters.module_delta import (
    LowRank,
    ModuleDelta,
    ModuleSet,
    Scaled,
    Sum,
    by_target,
)
from ggez_hub.merging.adapters.peft_config import (
    PISSA,
    by_layers,
    is_off,
    lycoris_rank_and_scale,
    moved_by,
    scale_of,
)
from ggez_hub.merging.adapters.peft_folder import (
    LORA_BIAS,
    MAGNITUDE,
    TOKENS,
    PeftOnBase,
    read_peft,
)
from ggez_hub.merging.adapters.peft_methods import open_by_layers
from ggez_hub.merging.adapters.product_rows import (
    WRAPPED,
    ProductRows,
    joined,
    of_fused_module,
    of_parameters,
    reader,
)
from ggez_hub.merging.adapters.saved_parameters import (
    Saved,
    one_of_each,
    saved_parameters,
    token_rows_of,
)
from ggez_hub.merging.delta_rows import Added, Product, RowDelta
from ggez_hub.merging.deltas import BadAdapter, WeightIndex

if TYPE_CHECKING:
    import torch


def open_peft(folder: Path, family: Family, base: WeightIndex) -> ModuleSet:
    """The PEFT adapter in `folder` as Deltas for `base`.

    Raises BadAdapter for what cannot be merged exactly, WrongBase where a module or a shape does
    not fit, BadWeights for a broken file, and what the family's key map raises.
    """
    source = read_peft(folder).on(family, base)
    opened = open_by_layers(source) if by_layers(source.config) else _Formulas(source).build()
    return ModuleSet(str(folder), opened, base)


class _Formulas:
    """The parts of an adapter whose arithmetic is computed here."""

    def __init__(self, source: PeftOnBase) -> None:
        self.source, self.base = source, source.base
        self.folder, self.file, self.config = source.folder, source.file, source.config

    def build(self) -> dict[str, ModuleDelta]:
        """The parts by the tensor that they change; raises BadAdapter or WrongBase."""
        parts = dict(self.source.keys.parts)
        replaced = saved_parameters(self.source, parts, self.source.keys.saved)
        rows = joined(list(self._rows(parts)))
        tokens = [
            token_rows_of(self.source, module, keys)
            for module, keys in sorted(parts.items())
            if TOKENS in keys
        ]
        own_rows = one_of_each(tokens, self.source, replaced)
        transposed = self._transposed(parts)
        changed = (
            part
            for module, keys in sorted(parts.items())
            if TOKENS not in keys
            for part in self._module(module, keys, transposed.get(module, False), replaced)
        )
        modules = by_target((*changed, *rows.values(), *own_rows.values()), self.file.path)
        for target, whole in replaced.items():
            if target not in modules:
                modules[target] = whole
            elif not isinstance(modules[target], Dora):
                # A DoRA has taken the saved weight for its own.
                modules[target] = Sum(target, (whole, modules[target]))
        return modules

    def _rows(self, parts: dict[str, dict[str, str]]) -> Iterator[ProductRows]:
        """What changes rows of stored tensors; the modules that do are taken out of `parts`."""
        read = reader()
        if not is_off(self.config.get("target_parameters")):
            for wrapper, own in list(of_parameters(self.source, parts, read)):
                del parts[wrapper]
                yield from own
        for module, keys in sorted(parts.items()):
            if module.endswith(WRAPPED):
                raise BadAdapter(f"{self.file.path}: nothing in the base is wrapped as {module!r}")
            if "lora_A" not in keys:
                continue
            try:
                self.source.weight(module)
            except NotOneToOne as error:
                if moved_by(self.config) is not None:
                    raise
                del parts[module]
                yield from of_fused_module(self.source, module, keys, error, read)

    def _module(
        self, module: str, keys: Mapping[str, str], transposed: bool, replaced: Mapping[str, Saved]
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
        low = self._low_rank(module, keys, transposed)
        self.source.require_declared(module, keys)
        part = low
        # A weight that was saved is that after the move.
        if (start := moved_by(self.config)) is not None and low.target not in replaced:
            part = PissaLora.of(low, start)
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
        """Which modules store (in, out), as GPT-2's Conv1D does: by their shapes, if these decide it.

        PEFT decides by the class of the layer and writes its last decision as `fan_in_fan_out`:
        of a square matrix in a model of both kinds of layers that decides nothing.
        """
        by_shape, square = {}, []
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
                by_shape[module] = stored == (a[1], b[0])
        declared = bool(self.config.get("fan_in_fan_out"))
        if declared and set(by_shape.values()) == {False} and not square:
            raise BadAdapter(
                f"{self.folder}: fan_in_fan_out = True, but by their shapes none of its modules is "
                "stored as (in, out)"
            )
        return by_shape | self._transposed_by_class(square)

    def _transposed_by_class(self, modules: Sequence[str]) -> dict[str, bool]:
        """The same for square matrices, by the classes of the base's modules."""
        layout = self.source.family.layout(self.base.folder)
        if not modules or layout.library not in WITH_CONV1D:
            return dict.fromkeys(modules, False)
        # By tensor: an adapter may name its modules as an older version did.
        weight, key_map = self.source.weight, self.source.key_map
        if have_outputs_first(self.base.folder, self.base, map(weight, modules)):
            return dict.fromkeys(modules, False)
        conv1d = {
            key_map(path) for path, m in self.source.tree.items() if type(m).__name__ == "Conv1D"
        }
        return {module: weight(module) in conv1d for module in modules}


# A difference below this share of the largest value is lost in the float32 of the training.
APART = 2.0**-20


@dataclass(frozen=True)
class PissaLora(LowRank):
    """A LoRA whose training began with `start`, PISSA or OLORA."""

    start: str = PISSA

    @classmethod
    def of(cls, low: LowRank, start: str) -> PissaLora:
        """The same matrices, with what their training began with."""
        return cls(**vars(low), start=start)

    def by_rows(self, base: WeightIndex) -> RowDelta:
        weight = base.read(self.target).double()
        rank = self.file.tensors[self.key_a].shape[0]
        taken = self._largest(weight, rank) if self.start == PISSA else self._first(weight, rank)
        return Added(super().by_rows(base), taken)

    def check(self, base: WeightIndex) -> None:
        super().check(base)
        rank = self.file.tensors[self.key_a].shape[0]
        shape = base[self.target].shape
        if len(shape) != 2 or rank > min(shape):
            raise self._refused(f"a tensor {shape} has no such part of rank {rank}")
        if self.start == PISSA and self.scale <= 0:
            raise self._refused(f"its scale is {self.scale}")

    def _largest(self, weight: torch.Tensor, rank: int) -> RowDelta:
        """Minus the best approximation of `rank`, of the tensor as it is stored or transposed."""
        import torch

        # By the smaller Gram matrix: a sixth of the time of all singular vectors.
        wide = weight.shape[0] <= weight.shape[1]
        squares, vectors = torch.linalg.eigh(weight @ weight.T if wide else weight.T @ weight)
        s = squares.flip(0).clamp_min(0).sqrt()
        if rank < len(s) and s[rank - 1] - s[rank] <= APART * s[0]:
            raise self._refused(f"the singular values {rank} and {rank + 1} are the same")
        first = vectors[:, -rank:].contiguous()
        if wide:
            return Product(first, first.T @ weight, -1.0)
        return Product(weight @ first, first.T.contiguous(), -1.0)

    def _first(self, weight: torch.Tensor, rank: int) -> RowDelta:
        """Minus s * Q @ R of the first columns of Q, of the tensor as it is stored."""
        import torch

        q, r = torch.linalg.qr(weight)
        if r.diagonal()[:rank].abs().min() <= APART * weight.norm():
            raise self._refused(f"the first {rank} columns depend on each other")
        return Product(q[:, :rank].contiguous(), r[:rank], -self.scale)

    def _refused(self, why: str) -> BadAdapter:
        return BadAdapter(
            f"{self.file.path}: what {self.start} moved out of {self.target!r} is not determined by "
            f"the base: {why}",
            "Convert it with PEFT: save_pretrained(..., path_initial_model_for_weight_conversion=...).",
        )
