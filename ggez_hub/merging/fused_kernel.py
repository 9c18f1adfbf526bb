"""base + beta * scale * left @ right in one pass over the rows, by a kernel that LLVM compiles.

The ordinary path takes a pass of torch over a block for each step: the product, two roundings, the
sum, and whether that is finite. Here some rows and columns stay in a core's registers from the first
product to what is stored. The bits are the same, for every operation is one of IEEE 754, in the same
order: products of numbers of at most 32 bits are exact in float64, so that a fused multiply-add rounds
nothing that two operations would not, and they are added up in the order of the rank. Nothing rests
on the argument: a kernel that stores other bits for random blocks is not used.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch

from ggez_hub.merging.delta_rows import Product, RowDelta
from ggez_hub.merging.kernels import Fill, interpolate_rows
from ggez_hub.merging.stored_tensors import TORCH_DTYPE
from ggez_hub.safetensors_header import TensorInfo

# Elements to be changed from which on a kernel saves more time than compiling it takes.
LEAST = 1 << 27
DTYPES = ("F16", "BF16", "F32")


@dataclass(frozen=True)
class Kernel:
    """What `kernel_code.compiled` returns: the function, and the columns that it takes at a time."""

    call: Callable[..., int]
    width: int
    rows: int
    # What owns the machine code.
    engine: object

    def fill(self, stored: torch.Tensor, weighted: Sequence[tuple[RowDelta, float]]) -> Fill | None:
        """What computes rows of the matrix `stored` with its Deltas; None where it is not for them."""
        columns = stored.shape[1]
        if len(weighted) != 1 or columns < self.width or not stored.is_contiguous():
            return None
        ((product, beta),) = weighted
        factors = product.exact_factors() if type(product) is Product else None
        if factors is None:
            return None
        left, right, scale = factors
        if not left.shape[1]:
            return None
        parts = [right.unfold(1, self.width, self.width), right[:, None, -self.width :]]
        cut = torch.cat(parts, 1).transpose(0, 1).contiguous()

        def fill(start: int, stop: int, out: torch.Tensor) -> bool | None:
            if stop - start < self.rows or out.dtype != stored.dtype:
                return None
            matrices = [m.data_ptr() for m in (left[start:], cut, stored[start:], out)]
            sizes = stop - start, left.shape[1], columns
            return not self.call(*matrices, *sizes, scale, beta)

        return fill


def kernels_for(changed: Iterable[TensorInfo]) -> Mapping[torch.dtype, Kernel]:
    """The kernels of a merge, by the dtype of those of the tensors `changed` that they are for.

    None for a dtype with few elements, without the extra `fast`, or if its bits would be others.
    """
    elements: Counter[str] = Counter()
    for tensor in changed:
        elements[tensor.dtype] += math.prod(tensor.shape)
    found = {name: checked_kernel(name) for name in DTYPES if elements[name] >= LEAST}
    return {TORCH_DTYPE[name]: kernel for name, kernel in found.items() if kernel}


@cache
def checked_kernel(name: str) -> Kernel | None:
    """The kernel for this machine, if its bits are those of the ordinary path."""
    kernel = compiled_kernel(name)
    return kernel if kernel and has_same_bits(kernel, TORCH_DTYPE[name]) else None


def compiled_kernel(
    name: str, cpu: str | None = None, features: str | None = None
) -> Kernel | None:
    """The kernel for a dtype of bases; None where llvmlite or the processor cannot make it."""
    try:
        from ggez_hub.merging.kernel_code import ROWS, compiled

        code = compiled(name, cpu, features)
    except (ImportError, AttributeError, TypeError, RuntimeError):
        # Not there, or of another version: numba asks for one of its own.
        return None
    return Kernel(*code[:2], ROWS, code[2]) if code else None


def has_same_bits(kernel: Kernel, dtype: torch.dtype) -> bool:
    """Whether the kernel and the ordinary path store the same for random numbers of all sizes."""
    draws = torch.Generator().manual_seed(0)
    for rank, columns, scale in ((16, 640, 0.7), (1, kernel.width + 3, 2.0)):
        left, right, base = (
            torch.randn(shape, generator=draws)
            for shape in ((49, rank), (rank, columns), (49, columns))
        )
        # Down to the least numbers that 16 bits can hold.
        base = (base * torch.logspace(-8, 0, columns)).to(dtype)
        left *= torch.logspace(-8, 0, len(left))[:, None]
        # As in a LoRA that nobody has trained, on zeros of either sign.
        left[5], base[:, ::5] = 0, -0.0
        product = Product(left.double(), right.double(), scale)
        expected, finite = interpolate_rows(base, [product], [0.4])
        fill, found = kernel.fill(base, [(product, 0.4)]), torch.empty_like(base)
        if fill is None or fill(0, len(base), found) is not finite:
            return False
        if not found.view(torch.uint8).equal(expected.view(torch.uint8)):
            return False
        base[-1, -1] = math.inf
        if fill(0, len(base), found):
            return False
    return True
