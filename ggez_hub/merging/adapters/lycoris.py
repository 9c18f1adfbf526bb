"""LoHa, LoKr and low-rank products with a core: Hadamard, Kronecker and Tucker products.

Papers: FedPara (arXiv 2108.06098) and LyCORIS (arXiv 2309.14859). Which matrix belongs where is
PEFT's layer code (peft/tuners/loha/layer.py, lokr/layer.py) and LyCORIS's (modules/loha.py,
lokr.py, locon.py), which name and shape them alike.

Every form has a `shape` (out, in, *kernel), or (out, in * kernel) where its matrices do not tell
the two apart. It raises BadAdapter unless they fit together, with the inner size `rank` if that is
declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ggez_hub.merging.adapters.module_delta import (
    FilePart,
    low_rank_shape,
    read_values,
    require_floating,
    require_room,
)
from ggez_hub.merging.delta_rows import Cored, Hadamard, Kronecker, Product, RowDelta, whole
from ggez_hub.merging.deltas import BadAdapter, WeightIndex
from ggez_hub.safetensors_header import WeightFile

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
Shape = tuple[int, ...]


@dataclass(frozen=True)
class FactoredPart(FilePart):
    """Matrices of one module by their part's name, for one tensor of the base; and the factor.

    `rank` is what is declared, None where nothing is.
    """

    parts: Mapping[str, str]
    scale: float
    rank: float | None = None

    def check(self, base: WeightIndex) -> None:
        require_room(base, self.target, self.shape, self.file, flattened=True)

    def value(self, part: str) -> torch.Tensor:
        return read_values(self.file, self.parts[part])

    def shapes(self) -> dict[str, Shape]:
        """The shapes of all parts; raises BadAdapter for one that is not floating."""
        for key in self.parts.values():
            require_floating(self.file, key)
        return {part: self.file.tensors[key].shape for part, key in self.parts.items()}

    def fits(self, *sizes: int) -> bool:
        """Whether all inner sizes are one, and the declared rank."""
        return len({*sizes, sizes[0] if self.rank is None else self.rank}) == 1

    def incomplete(self) -> BadAdapter:
        return BadAdapter(
            f"{self.file.path}: {self.target!r} has only {', '.join(sorted(self.parts))}"
        )

    def does_not_fit(self, shapes: Mapping[str, Shape]) -> BadAdapter:
        found = ", ".join(f"{part} {shape}" for part, shape in sorted(shapes.items()))
        return BadAdapter(
            f"{self.file.path}: the matrices for {self.target!r} do not multiply: {found}"
        )


class LoHa(FactoredPart):
    """scale * (w1_a @ w1_b) * (w2_a @ w2_b), element by element; convolutions may have cores.

    Without cores: w_a (out, rank), w_b (rank, in * kernel). With cores t (rank, rank, *kernel):
    w_a (rank, out), w_b (rank, in).
    """

    def by_rows(self, base: WeightIndex) -> RowDelta:
        return Hadamard(self._side(1), self._side(2), self.scale)

    def _side(self, number: int) -> RowDelta:
        a, b = self.value(f"hada_w{number}_a"), self.value(f"hada_w{number}_b")
        if f"hada_t{number}" in self.parts:
            return Cored(a.T, self.value(f"hada_t{number}"), b, 1.0)
        return Product(a.contiguous(), b.contiguous(), 1.0)

    @property
    def shape(self) -> Shape:
        cored = self.parts.keys() >= LOHA_CORES
        if set(self.parts) != LOHA_FACTORS | (LOHA_CORES if cored else set()):
            raise self.incomplete()
        shape = self.shapes()
        sides, sizes = [], []
        for number in (1, 2):
            a, b = shape[f"hada_w{number}_a"], shape[f"hada_w{number}_b"]
            core = shape[f"hada_t{number}"] if cored else ()
            if not len(a) == len(b) == 2 or (cored and len(core) < 2):
                raise self.does_not_fit(shape)
            inner, out = a if cored else a[::-1]
            sizes += [inner, b[0], *core[:2]]
            sides.append((out, b[1], *core[2:]))
        if not self.fits(*sizes) or sides[0] != sides[1]:
            raise self.does_not_fit(shape)
        return sides[0]


class LoKr(FactoredPart):
    """scale * kron(w1, w2); each factor whole, as a product, or with a core (convolutions).

    w1 (a, c), or w1_a (a, rank) @ w1_b (rank, c). w2 (b, d, *kernel), or w2_a (b, rank) @
    w2_b (rank, d * kernel), or t2 (rank, rank, *kernel) with w2_a (rank, b) and w2_b (rank, d).
    """

    @staticmethod
    def own_rank(file: WeightFile, parts: Mapping[str, str]) -> int | None:
        """The rank of the factor that is a product; None where both are whole."""
        key = parts.get("lokr_w1_b", parts.get("lokr_w2_b"))
        return None if key is None else (file.tensors[key].shape or (0,))[0]

    def by_rows(self, base: WeightIndex) -> RowDelta:
        return Kronecker(self._factor("lokr_w1"), self._factor("lokr_w2"), self.scale)

    def _factor(self, name: str) -> torch.Tensor:
        if name in self.parts:
            return self.value(name).flatten(1)
        a, b = self.value(f"{name}_a"), self.value(f"{name}_b")
        if name == "lokr_w2" and "lokr_t2" in self.parts:
            core = self.value("lokr_t2")
            rows: RowDelta = Cored(a.T, core, b, 1.0)
            return whole(rows, (a.shape[1], b.shape[1] * core[0, 0].numel()))
        return whole(Product(a, b, 1.0), (a.shape[0], b.shape[1]))

    @property
    def shape(self) -> Shape:
        left = next((p for p in LOKR_LEFT if p <= self.parts.keys()), frozenset[str]())
        right = next((p for p in LOKR_RIGHT[::-1] if p <= self.parts.keys()), frozenset[str]())
        if not left or not right or set(self.parts) != left | right:
            raise self.incomplete()
        shape = self.shapes()
        one, other = self._shape_of(shape, "lokr_w1"), self._shape_of(shape, "lokr_w2")
        if len(one) != 2:
            raise self.does_not_fit(shape)
        return (one[0] * other[0], one[1] * other[1], *other[2:])

    def _shape_of(self, shape: Mapping[str, Shape], name: str) -> Shape:
        if name in shape:
            if len(shape[name]) < 2:
                raise self.does_not_fit(shape)
            return shape[name]
        a, b = shape[f"{name}_a"], shape[f"{name}_b"]
        core = shape.get("lokr_t2") if name == "lokr_w2" else None
        if not len(a) == len(b) == 2 or (core is not None and len(core) < 2):
            raise self.does_not_fit(shape)
        inner, out = a[::-1] if core is None else a
        if not self.fits(inner, b[0], *(core or ())[:2]):
            raise self.does_not_fit(shape)
        return (out, b[1], *(core or ())[2:])


class LoCon(FactoredPart):
    """scale * B @ A with a core between them: A (rank, in, 1...), B (out, rank, 1...).

    The core `mid` is (rank, rank, *kernel): LyCORIS calls it a CP or Tucker decomposition.
    """

    def by_rows(self, base: WeightIndex) -> RowDelta:
        a, b = self.value("A").flatten(1), self.value("B").flatten(1)
        return Cored(b, self.value("mid"), a, self.scale)

    @property
    def shape(self) -> Shape:
        shape = self.shapes()
        outer = low_rank_shape(self.file, self.parts["A"], self.parts["B"])
        core = shape["mid"]
        points = all(size == 1 for size in outer[2:])
        if not points or len(core) < 2 or not self.fits(shape["A"][0], *core[:2]):
            raise self.does_not_fit(shape)
        return (*outer[:2], *core[2:])
