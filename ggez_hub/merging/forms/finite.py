"""Whether bytes of a tensor hold NaN or Inf: told from the exponents, without torch or numpy.

IEEE 754 and bfloat16: a number is NaN or Inf if all bits of its exponent are ones. Little-endian,
the exponent's upper bits are in the last byte of a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Exponent:
    """Where the exponent lies in a number of `size` bytes: its bits in the last two bytes."""

    size: int
    last: int
    before: int


EXPONENTS: Mapping[str, Exponent] = {
    "F16": Exponent(2, 0x7C, 0x00),
    "BF16": Exponent(2, 0x7F, 0x80),
    "F32": Exponent(4, 0x7F, 0x80),
    "F64": Exponent(8, 0x7F, 0xF0),
}


def is_finite(data: bytes, dtype: str) -> bool:
    """Whether all numbers in `data`, whole numbers of `dtype`, are finite; so are all integers."""
    exponent = EXPONENTS.get(dtype)
    if exponent is None:
        return True
    last = data[exponent.size - 1 :: exponent.size]
    # Deleting all bytes whose exponent bits are not all ones leaves nothing, nearly always.
    if not last.translate(None, _below(exponent.last)):
        return True
    before = data[exponent.size - 2 :: exponent.size]
    full = (exponent.last, exponent.before)
    return all(
        (high & full[0], low & full[1]) != full for high, low in zip(last, before, strict=True)
    )


def _below(mask: int) -> bytes:
    return bytes(byte for byte in range(256) if byte & mask != mask)
