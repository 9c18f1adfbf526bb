"""Rows of a Delta on another device than the processor, with the same bits.

What is one operation on elements after the other is computed there. What is not, or is nothing but a
pass over stored numbers, is computed here and moved.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import torch
from torch.utils._pytree import tree_map

from ggez_hub.merging.delta_rows import Elementwise, Product, RowDelta, blocks

# Elements that a device is given at a time: 64 MB in float64.
DEVICE_BLOCK = 1 << 23


class FromProcessor:
    """A Delta that is computed here, in the same blocks as without a device."""

    def __init__(self, rows: RowDelta) -> None:
        self._rows = rows

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        here = torch.empty(out.shape, dtype=torch.float64)
        for first, last in blocks(out.shape):
            self._rows.write(start + first, start + last, here[first:last])
        out.copy_(here)


def on_device(rows: RowDelta, device: torch.device) -> RowDelta:
    """The same Delta, whose rows are written into tensors of `device`."""
    if isinstance(rows, Product):
        return rows.in_order(device) or FromProcessor(rows)
    if not isinstance(rows, Elementwise):
        return FromProcessor(rows)

    def moved(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.to(device)
        return on_device(value, device) if hasattr(value, "write") else value

    own = copy(rows)
    vars(own).update(tree_map(moved, vars(rows)))
    return own
