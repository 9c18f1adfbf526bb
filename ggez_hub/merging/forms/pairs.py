"""What adapter forms have in common: scale * B @ A, module by module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ggez_hub.merging.adapters.modules import FLOATING
from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.merging.forms.tensors import Tensor


@dataclass(frozen=True)
class ScaledPair:
    """scale * B @ A on the module at `path`.

    `path` is PEFT's, in a pipeline with the component first (`unet.down_blocks...`). A is
    (rank, in, *kernel), B is (out, rank, 1...), both in a floating dtype.
    """

    path: str
    a: Tensor
    b: Tensor
    scale: float

    @property
    def rank(self) -> int:
        return self.a.shape[0]

    @property
    def alpha(self) -> float:
        """What loaders divide by the rank: twelve digits, so that equal ones look equal."""
        return float(f"{self.scale * self.rank:.12g}")

    @property
    def component(self) -> str:
        """The first step of the path: the part of a pipeline."""
        return self.path.partition(".")[0]

    @property
    def inner(self) -> str:
        """The path within the component."""
        return self.path.partition(".")[2]


def scaled_by(pairs: Sequence[ScaledPair], betas: Sequence[float]) -> list[ScaledPair]:
    """The same adapter with the beta of each pair in its scale; raises BadAdapter for a broken pair."""
    for pair in pairs:
        a, b = pair.a.shape, pair.b.shape
        if len(a) < 2 or len(b) < 2 or a[0] != b[1] or a[0] == 0 or set(b[2:]) - {1}:
            raise BadAdapter(f"{pair.path!r}: B {b} does not multiply A {a}")
        for tensor in (pair.a, pair.b):
            if tensor.dtype not in FLOATING:
                raise BadAdapter(
                    f"{pair.path!r} holds {tensor.dtype}, no floating-point tensor",
                    "Convert the adapter to float16, bfloat16 or float32 first.",
                )
    paths = [pair.path for pair in pairs]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise BadAdapter(f"two modules of the adapter change {twice!r}")
    return [replace(pair, scale=pair.scale * beta) for pair, beta in zip(pairs, betas, strict=True)]


def without_zeros(pairs: Sequence[ScaledPair]) -> list[ScaledPair]:
    """The pairs whose scale is not 0: the others add nothing. Raises BadAdapter if none is left."""
    kept = [pair for pair in pairs if pair.scale != 0]
    if not kept:
        raise BadAdapter(
            "every module of the adapter has the beta 0: nothing is left of it",
            "The result is the base itself.",
        )
    return kept
