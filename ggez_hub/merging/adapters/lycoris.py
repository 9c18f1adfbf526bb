"""LoHa and LoKr of PEFT folders: Hadamard and Kronecker products of small matrices.

Papers: FedPara (arXiv 2108.06098) and LyCORIS (arXiv 2309.14859). The products themselves are
computed by PEFT's own functions, in float64; which matrix belongs where is PEFT's layer code
(peft/tuners/loha/layer.py, lokr/layer.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ggez_hub.merging.adapters.modules import read_values, require_floating, require_room
from ggez_hub.merging.deltas import BadAdapter, WeightIndex, WrongBase
from ggez_hub.weights import WeightFile

if TYPE_CHECKING:
    import torch

LOHA_FACTORS = frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"})
LOHA_CORES = frozenset({"hada_t1", "hada_t2"})
LOKR_LEFT = (frozenset({"lokr_w1"}), frozenset({"lokr_w1_a", "lokr_w1_b"}))
LOKR_RIGHT = (
    frozenset({"lokr_w2"}),
    frozenset({"lokr_w2_a", "lokr_w2_b"}),
    frozenset({"lokr_t2", "lokr_w2_a", "lokr_w2_b"}),
)


@dataclass(frozen=True)
class LoHa:
    """scale * (w1_a @ w1_b) * (w2_a @ w2_b), element by element; convolutions may have cores.

    Without cores: w_a (out, rank), w_b (rank, in * kernel). With cores t (rank, rank, *kernel):
    w_a (rank, out), w_b (rank, in).
    """

    target: str
    file: WeightFile
    parts: Mapping[str, str]
    scale: float

    def delta(self, base: WeightIndex) -> torch.Tensor:
        import torch
        from peft.tuners.loha.layer import make_weight, make_weight_cp

        value = {part: read_values(self.file, key) for part, key in self.parts.items()}
        w1, w2 = ((value[f"hada_w{number}_a"], value[f"hada_w{number}_b"]) for number in (1, 2))
        # PEFT holds the scale in float32: what the adapter was trained with.
        scale = torch.tensor(self.scale)
        product = (
            make_weight_cp(value["hada_t1"], *w1, value["hada_t2"], *w2, scale)
            if value.keys() >= LOHA_CORES
            else make_weight(*w1, *w2, scale)
        )
        result: torch.Tensor = product.reshape(base[self.target].shape)
        return result

    def check(self, base: WeightIndex, rank: float) -> None:
        """Raise BadAdapter or WrongBase unless all parts fit together, the config and the base."""
        cored = self.parts.keys() >= LOHA_CORES
        if set(self.parts) != LOHA_FACTORS | (LOHA_CORES if cored else set()):
            raise _incomplete(self.file, self.target, self.parts)
        for key in self.parts.values():
            require_floating(self.file, key)
        shape, info = _shapes(self.file, self.parts), base[self.target].shape
        for number in (1, 2):
            a, b = shape[f"hada_w{number}_a"], shape[f"hada_w{number}_b"]
            if cored:
                core = shape[f"hada_t{number}"]
                fits = len(a) == len(b) == 2 and core[:2] == (rank, rank) == (a[0], b[0])
                kernel = core[2:]
                out, inputs = a[-1:], b[-1:]
            else:
                fits = len(a) == len(b) == 2 and a[1] == b[0] == rank
                kernel = ()
                out, inputs = a[:1], b[1:]
            if not fits:
                raise _does_not_fit(self.file, self.target, shape)
            _require_size(self.file, base, self.target, (*out, *inputs, *kernel), info)
        require_room(base, self.target, info, self.file)


@dataclass(frozen=True)
class LoKr:
    """scale * kron(w1, w2); each factor whole, as a product, or with a core (convolutions).

    w1 (a, c), or w1_a (a, rank) @ w1_b (rank, c). w2 (b, d, *kernel), or w2_a (b, rank) @
    w2_b (rank, d * kernel), or t2 (rank, rank, *kernel) with w2_a (rank, b) and w2_b (rank, d).
    """

    target: str
    file: WeightFile
    parts: Mapping[str, str]
    scale: float

    def delta(self, base: WeightIndex) -> torch.Tensor:
        from peft.tuners.lokr.layer import make_kron, make_weight_cp

        value = {part: read_values(self.file, key) for part, key in self.parts.items()}
        left = value["lokr_w1"] if "lokr_w1" in value else value["lokr_w1_a"] @ value["lokr_w1_b"]
        if "lokr_w2" in value:
            right = value["lokr_w2"]
        elif "lokr_t2" in value:
            right = make_weight_cp(value["lokr_t2"], value["lokr_w2_a"], value["lokr_w2_b"])
        else:
            right = value["lokr_w2_a"] @ value["lokr_w2_b"]
        result: torch.Tensor = make_kron(left, right, self.scale)
        return result.reshape(base[self.target].shape)

    def check(self, base: WeightIndex, rank: float) -> None:
        """Raise BadAdapter or WrongBase unless all parts fit together, the config and the base."""
        left = next((p for p in LOKR_LEFT if p <= self.parts.keys()), frozenset[str]())
        right = next((p for p in LOKR_RIGHT[::-1] if p <= self.parts.keys()), frozenset[str]())
        if not left or not right or set(self.parts) != left | right:
            raise _incomplete(self.file, self.target, self.parts)
        for key in self.parts.values():
            require_floating(self.file, key)
        shape, info = _shapes(self.file, self.parts), base[self.target].shape
        a, c = self._factor(shape, "lokr_w1", rank)[:2]
        if "lokr_t2" in self.parts:
            core, (_, b), (_, d) = shape["lokr_t2"], shape["lokr_w2_a"], shape["lokr_w2_b"]
            if not core[:2] == (rank, rank) == (shape["lokr_w2_a"][0], shape["lokr_w2_b"][0]):
                raise _does_not_fit(self.file, self.target, shape)
            right_shape: tuple[int, ...] = (b, d, *core[2:])
        else:
            right_shape = self._factor(shape, "lokr_w2", rank)
        whole = (a * right_shape[0], c * right_shape[1], *right_shape[2:])
        _require_size(self.file, base, self.target, whole, info)
        require_room(base, self.target, info, self.file)

    def _factor(
        self, shape: Mapping[str, tuple[int, ...]], name: str, rank: float
    ) -> tuple[int, ...]:
        if name in shape:
            if len(shape[name]) < 2 or (name == "lokr_w1" and len(shape[name]) != 2):
                raise _does_not_fit(self.file, self.target, shape)
            return shape[name]
        a, b = shape[f"{name}_a"], shape[f"{name}_b"]
        if len(a) != 2 or len(b) != 2 or not a[1] == b[0] == rank:
            raise _does_not_fit(self.file, self.target, shape)
        return (a[0], b[1])


def _shapes(file: WeightFile, parts: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    return {part: file.tensors[key].shape for part, key in parts.items()}


def _require_size(
    file: WeightFile,
    base: WeightIndex,
    target: str,
    shape: tuple[int, ...],
    info: tuple[int, ...],
) -> None:
    """The product has as many elements as the base's tensor, and as many outputs."""
    if not info or shape[0] != info[0] or math.prod(shape) != math.prod(info):
        raise WrongBase(
            f"{file.path} gives {shape} for {target!r}, the base in {base.folder} has {info}",
            "The adapter was trained on another model.",
        )


def _incomplete(file: WeightFile, target: str, parts: Mapping[str, str]) -> BadAdapter:
    return BadAdapter(f"{file.path}: {target!r} has only {', '.join(sorted(parts))}")


def _does_not_fit(
    file: WeightFile, target: str, shapes: Mapping[str, tuple[int, ...]]
) -> BadAdapter:
    found = ", ".join(f"{part} {shape}" for part, shape in sorted(shapes.items()))
    return BadAdapter(f"{file.path}: the matrices for {target!r} do not multiply: {found}")
