"""Which rows of stored tensors become which rows of a parameter, where transformers converts them.

A checkpoint may have one tensor for query, key and value, or one for each expert, and `from_pretrained`
cuts, joins, stacks and permutes them (transformers.core_model_loading, 5.23). The operations are not
described again here: they are given tensors of numbers, which show where each row goes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import torch

Runs: TypeAlias = tuple[tuple[int, int, int], ...]
"""Rows of a stored tensor that come from a parameter: first stored row, first row, how many.

A tensor (..., n) is taken as a matrix of rows of n numbers, a vector as rows of one number.
"""


class Shaped(Protocol):
    """What has a shape."""

    @property
    def shape(self) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class Conversion:
    """A converter of transformers, and the stored tensors that it takes, each with its pattern."""

    converter: Any
    renamed: str
    sources: Sequence[tuple[str, str]]

    def rows(self, parameter: str, model: Any, stored: Mapping[str, Shaped]) -> dict[str, Runs]:
        """The rows of each stored tensor that the parameter gets; {} if it does not get complete rows.

        Every row of the parameter is in the result once.
        """
        try:
            found = self._converted(model, stored)[parameter]
        # Operations of models that want other shapes, or that read values.
        except Exception:
            return {}
        shape = tuple(model.state_dict()[parameter].shape)
        numbers = _row_numbers(found, shape)
        if numbers is None:
            return {}
        runs, start, count = {}, 0, 0
        for name, _ in self.sources:
            rows = math.prod(_rows_of(stored[name].shape))
            own = ((numbers >= start) & (numbers < start + rows)).nonzero().flatten()
            if len(own):
                if len(shape) > 1 and stored[name].shape[-1] != shape[-1]:
                    return {}
                runs[name] = _runs(numbers[own] - start, own)
                count += len(own)
            start += rows
        distinct = len(set(numbers.tolist())) == len(numbers) == count
        return runs if distinct else {}

    def _converted(self, model: Any, stored: Mapping[str, Shaped]) -> dict[str, torch.Tensor]:
        import torch

        converter, start = copy.deepcopy(self.converter), 0
        for name, pattern in self.sources:
            shape = _rows_of(stored[name].shape)
            numbers = torch.arange(start, start + math.prod(shape)).reshape(shape)
            start += math.prod(shape)
            if len(stored[name].shape) > 1:
                # Two columns: what turns or cuts rows would be seen.
                numbers = torch.stack((2 * numbers, 2 * numbers + 1), -1)
            converter.add_tensor(self.renamed, name, pattern, numbers)
        converted = converter.convert(self.renamed, model=model, config=model.config)
        return {k: t[0] if isinstance(t, list) else t for k, t in converted.items()}


def _rows_of(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(shape[:-1]) if len(shape) > 1 else tuple(shape)


def _row_numbers(found: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor | None:
    """The number of each row of a parameter of `shape`, if its rows came through unchanged."""
    if len(shape) < 2:
        return found.flatten() if tuple(found.shape) == shape else None
    if tuple(found.shape) != (*shape[:-1], 2):
        return None
    first, second = found.reshape(-1, 2).unbind(1)
    if not bool(((first % 2 == 0) & (second == first + 1)).all()):
        return None
    return first // 2


def _runs(stored: torch.Tensor, rows: torch.Tensor) -> Runs:
    """Stored rows and rows, in pairs, as runs that ascend by one in both."""
    import torch

    order = stored.argsort()
    stored, rows = stored[order], rows[order]
    breaks = ((stored.diff() != 1) | (rows.diff() != 1)).nonzero().flatten() + 1
    starts = torch.cat((torch.tensor([0]), breaks))
    counts = torch.cat((starts[1:], torch.tensor([len(stored)]))) - starts
    return tuple(zip(stored[starts].tolist(), rows[starts].tolist(), counts.tolist(), strict=True))
