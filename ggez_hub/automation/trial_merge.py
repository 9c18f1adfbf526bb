"""A merge on a sample of a base: one tensor of each kind of layer, at its real shape, by its real name.

Of a base of any size names, shapes and dtypes are known without its weights. The values are made up,
and what holds for all values is checked: with next to nothing of the adapter every tensor is the
base's bit for bit, and with all of it those change that the adapter names, and no other.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.errors import GgezError
from ggez_hub.families import Family
from ggez_hub.merging.adapters import open_delta
from ggez_hub.merging.adapters.module_delta import FLOATING
from ggez_hub.merging.deltas import Delta, WeightIndex, WrongBase, stored_name
from ggez_hub.merging.merge import require_engine
from ggez_hub.safetensors_header import WeightFile, read_header

if TYPE_CHECKING:
    import torch

# Bytes at most: of the tensors that are merged, and of the adapter's values.
MOST = 1_000_000_000
# Unlike 0 it has the Delta computed, which is then rounded away, for every form of adapter.
NEXT_TO_NOTHING = 1e-300
NUMBER = re.compile(r"\d+")
# Values repeat after a prime number of them, so that no two rows are equal.
PERIOD = 1_048_573
WHOLE_NUMBERS = {"I16": "int16", "I32": "int32", "I64": "int64"}


@dataclass(frozen=True)
class Trial:
    """The tensors that were merged, and those for which there was no room."""

    merged: tuple[str, ...]
    too_large: tuple[str, ...]


def try_merge(source: Path, family: Family, base: WeightIndex, touched: Collection[str]) -> Trial:
    """Merge the adapter at `source` with a sample of `base`, as far as it has `touched` it so far.

    Both are outlines: values are written into the holes that their weights are. Raises WrongBase for
    a result that is not what it has to be, naming the tensor; what opening and merging raise;
    MissingExtra.
    """
    require_engine()
    adapter = [read_header(path) for path in sorted(source.rglob("*.safetensors"))]
    filled = sum(file.nbytes for file in adapter) <= MOST
    for file in adapter if filled else ():
        _make_up(file, file.tensors, seed=1)
    # Between two models of holes there is no difference yet: then any tensor may be touched.
    merged, too_large = _sample(base, touched or base)
    # Whole numbers of a fine-tune are its base's.
    shared = {name for file in adapter if filled for name in file.tensors}
    for path, file in base.files.items():
        here = {stored_name(name) for name in merged if base.file_of[name] == path}
        whole = {n for n, info in file.tensors.items() if info.dtype in WHOLE_NUMBERS}
        _make_up(file, here | (whole & shared), seed=2)
    # Opened again: forms read values of the base while they open.
    base = WeightIndex(base.folder, tuple(base.files), base.digests)
    delta = open_delta(source, family, base)
    if not delta.touched:
        raise WrongBase("it changes no tensor of its base")
    for name in merged:
        _try(base, delta, name, NEXT_TO_NOTHING, changes=False)
        if filled:
            _try(base, delta, name, 1.0, changes=name in delta.touched)
    return Trial(tuple(merged), tuple(too_large))


def _sample(base: WeightIndex, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """One tensor of each kind, the small ones first; and those for which there is no room.

    A kind: equal names but for the numbers in them, equal shapes and dtypes.
    """
    kinds: dict[object, str] = {}
    for name in sorted(names):
        kinds.setdefault((NUMBER.sub("#", name), base[name].shape, base[name].dtype), name)
    merged: list[str] = []
    too_large: list[str] = []
    taken = 0
    for name in sorted(kinds.values(), key=lambda name: (base[name].nbytes, name)):
        taken += base[name].nbytes
        (merged if taken <= MOST else too_large).append(name)
    return merged, too_large


def _try(base: WeightIndex, delta: Delta, name: str, beta: float, *, changes: bool) -> None:
    """Merge one tensor; raises WrongBase unless it changes where it has to, and nowhere else."""
    from ggez_hub.merging.engine import Weighted, execute

    part = base.only({name})
    with tempfile.TemporaryDirectory(prefix="ggez-trial-") as temporary:
        try:
            execute(part, [Weighted(delta, dict.fromkeys(delta.touched, beta))], Path(temporary))
        except GgezError as problem:
            raise WrongBase(f"cannot be merged into {name!r}: {problem.message}") from problem
        except Exception as error:  # what strangers name may break arithmetic in any way
            raise WrongBase(f"cannot be merged into {name!r}: {error}") from error
        made = WeightIndex(Path(temporary), tuple(part.files))
        same = _bits(made.read(name)).equal(_bits(part.read(name)))
    if same and changes:
        raise WrongBase(f"does not change {name!r}, which it names")
    if not same and not changes:
        raise WrongBase(f"changes {name!r} by a merge that takes nothing of it")


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _make_up(file: WeightFile, names: Iterable[str], seed: int) -> None:
    """Write values for tensors into the holes of a file; of dtypes that no Delta has, zeros stay."""
    with file.path.open("r+b") as opened:
        for name in names:
            info = file.tensors[name]
            if info.dtype not in FLOATING and info.dtype not in WHOLE_NUMBERS:
                continue
            opened.seek(file.data_start + info.start)
            block, left = _values(info.dtype, prod(info.shape), seed), info.nbytes
            while left:
                left -= opened.write(block[:left])


def _values(dtype: str, count: int, seed: int) -> memoryview:
    """Values of a dtype as bytes: `count` ascending numbers, or a period of fractions."""
    import torch

    if dtype in WHOLE_NUMBERS:
        # A single one is a factor, several are places.
        places = torch.arange(count) if count > 1 else torch.ones(count)
        return places.to(getattr(torch, WHOLE_NUMBERS[dtype])).view(torch.uint8).numpy().data
    return _fractions(dtype, seed)


@cache
def _fractions(dtype: str, seed: int) -> memoryview:
    """PERIOD numbers of either sign between a half and 1."""
    import torch

    drawn = torch.rand(PERIOD, generator=torch.Generator().manual_seed(seed)) - 0.5
    fractions = drawn + drawn.sign() / 2
    return fractions.to(getattr(torch, FLOATING[dtype])).view(torch.uint8).numpy().data
