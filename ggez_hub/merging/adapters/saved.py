"""Parts of an adapter that replace values of the base: modules_to_save, biases, rows of tokens.

Delta = saved - base, in float64: what is equal stays as it is, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.merging.adapters.finetune import same_bytes, same_values
from ggez_hub.merging.adapters.modules import (
    FLOATING,
    read_values,
    require_floating,
    require_room,
)
from ggez_hub.merging.deltas import BadAdapter, WeightIndex, WrongBase
from ggez_hub.merging.rows import Difference, RowDelta, whole
from ggez_hub.weights import WeightFile

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Saved:
    """A whole tensor in place of the base's; same shape, any floating dtype."""

    target: str
    file: WeightFile
    key: str

    def stored(self) -> torch.Tensor:
        """The saved tensor as it is; raises BadAdapter if it is not finite."""
        import torch
        from safetensors import safe_open

        with safe_open(self.file.path, framework="pt") as opened:
            saved: torch.Tensor = opened.get_tensor(self.key)
        if not torch.isfinite(saved).all():
            raise BadAdapter(f"{self.file.path}: {self.key!r} is not finite: it holds NaN or Inf")
        return saved

    def delta(self, base: WeightIndex) -> torch.Tensor:
        return whole(self.by_rows(base), base[self.target].shape)

    def by_rows(self, base: WeightIndex) -> RowDelta:
        return Difference(self.stored(), base.read(self.target))

    def changes(self, base: WeightIndex) -> bool:
        """Whether any value differs from the base's.

        Raises WrongBase for another shape, BadAdapter for integers that differ: there is no
        beta of an integer.
        """
        info, saved = base[self.target], self.file.tensors[self.key]
        if info.dtype in FLOATING:
            require_floating(self.file, self.key)
            require_room(base, self.target, saved.shape, self.file)
            return not same_values(self.stored(), base.read(self.target))
        alike = (saved.dtype, saved.shape) == (info.dtype, info.shape)
        if alike and same_bytes(self.stored(), base.read(self.target)):
            return False
        raise BadAdapter(
            f"{self.file.path}: {self.key!r} replaces the {info.dtype} tensor {self.target!r} of "
            "the base, which cannot be interpolated"
        )


@dataclass(frozen=True)
class Rows:
    """Rows in place of some of the base's: PEFT's trainable tokens.

    `rows` are the rows of the base, in the order of the saved tensor's (rows, width).
    """

    target: str
    file: WeightFile
    key: str
    rows: tuple[int, ...]

    def delta(self, base: WeightIndex) -> torch.Tensor:
        import torch

        stored = base.read(self.target)
        delta = torch.zeros(stored.shape, dtype=torch.float64)
        index = torch.tensor(self.rows)
        delta[index] = read_values(self.file, self.key) - stored[index]
        return delta

    def check(self, base: WeightIndex) -> None:
        """Raise BadAdapter or WrongBase unless each row has its place."""
        saved, info = self.file.tensors[self.key].shape, base[self.target]
        require_floating(self.file, self.key)
        if len(set(self.rows)) != len(self.rows):
            raise BadAdapter(f"{self.file.path}: {self.key!r} names a token twice")
        if len(saved) != 2 or saved[0] != len(self.rows):
            raise BadAdapter(
                f"{self.file.path}: {self.key!r} is {saved}, its config names {len(self.rows)} tokens"
            )
        if len(info.shape) != 2 or not all(0 <= row < info.shape[0] for row in self.rows):
            raise WrongBase(
                f"{self.file.path}: {self.key!r} names tokens that {self.target!r} {info.shape} of "
                f"the base in {base.folder} does not have",
                "The adapter was trained with a resized vocabulary, or on another model.",
            )
        require_room(base, self.target, (info.shape[0], saved[1]), self.file)


def token_rows(option: object, module: str, path: Path) -> tuple[int, ...]:
    """The rows that `trainable_token_indices` names for a module; raises BadAdapter.

    PEFT writes a list, for the input embedding, or a dictionary of lists by the module's name.
    """
    found: object = option
    if isinstance(option, dict):
        matches = [rows for name, rows in option.items() if f".{module}".endswith(f".{name}")]
        found = matches[0] if len(matches) == 1 else None
    if not isinstance(found, Sequence) or not all(type(row) is int for row in found):
        raise BadAdapter(f"{path}: trainable_token_indices names no tokens for {module!r}")
    return tuple(found)
