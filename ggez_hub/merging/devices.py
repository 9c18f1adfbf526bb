"""The device that computes a merge, and whether its bits are those of the processor.

Products of a LoRA's factors are exact in float64 and added up in the order of the rank; all other steps
are single operations, rounded by IEEE 754. So the bits follow from the standard, and each merge on a
device begins with a comparison.
"""

from __future__ import annotations

import torch

from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.merging.adapters.dora import DoraRows
from ggez_hub.merging.delta_rows import Hadamard, Product, RowDelta
from ggez_hub.merging.kernels import Workers, interpolate_rows
from ggez_hub.merging.methods import NAME, Method

LEAVE_OUT = "Leave out --device: the processor gives the same bytes."


def merge_device(named: str, method: Method) -> torch.device | None:
    """The device that `--device` names, None for the processor.

    Raises UsageProblem, or GgezError where there is none or its bits are others.
    """
    if named.partition(":")[0] not in {"cpu", "cuda", "auto"}:
        why = ": it has no float64, in which a Delta is computed" if named == "mps" else ""
        raise UsageProblem(f"{named!r} is not a device of merges{why}", "Give cpu, cuda or auto.")
    if named == "auto":
        named = "cuda" if method.name == NAME and torch.cuda.is_available() else "cpu"
    if named == "cpu":
        return None
    if method.name != NAME:
        raise UsageProblem(
            f"{method} is not computed on a device: its sums over adapters have no order there",
            LEAVE_OUT,
        )
    try:
        device = torch.device(named)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise GgezError(f"torch has no device {named!r} here", LEAVE_OUT) from error
    require_same_bits(device)
    return device


def require_same_bits(device: torch.device) -> None:
    """Raise GgezError unless a merge of random numbers has the bits there that it has here."""
    draws = torch.Generator().manual_seed(0)
    rows, rank, columns = 90, 16, 500

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=draws).double()

    one, two, three = (Product(draw(rows, rank), draw(rank, columns), 0.7) for _ in range(3))
    weight, magnitude = draw(rows, columns), draw(rows).abs()
    deltas: list[RowDelta] = [
        one,
        Hadamard(two, three, 3.0),
        DoraRows("", one, weight, weight, magnitude),
    ]
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        base = weight.to(dtype)
        with Workers(base.nbytes, device) as workers:
            there, _ = interpolate_rows(base, deltas, (0.4, -0.3, 0.2), workers)
            here, _ = interpolate_rows(base, deltas, (0.4, -0.3, 0.2))
            if not torch.equal(here, there):
                raise GgezError(f"{device} computes other bits than the processor", LEAVE_OUT)
