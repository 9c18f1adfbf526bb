"""A task vector from a full fine-tune: Delta in float32, dense or sparse, written as it streams."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from ggez_hub import __version__
from ggez_hub.atomic_files import atomic_folder
from ggez_hub.errors import GgezError
from ggez_hub.families import Family
from ggez_hub.merging.adapters.finetune import Finetune, open_finetune
from ggez_hub.merging.adapters.task_vector import (
    FORMAT,
    INDICES,
    MANIFEST,
    VALUES,
    VERSION,
    WEIGHTS,
)
from ggez_hub.merging.delta_rows import blocks, matrix_shape
from ggez_hub.merging.deltas import BadAdapter, WeightIndex
from ggez_hub.merging.extraction.lora import Extracted, Extraction
from ggez_hub.merging.merge import require_engine
from ggez_hub.merging.side_files import check_space
from ggez_hub.output_lock import lock_output
from ggez_hub.safetensors_header import BITS, consecutive, write_header

if TYPE_CHECKING:
    import torch

# The tensors of the file by key: dtype, shape, and the tensor of the base that each is of.
Entries: TypeAlias = "dict[str, tuple[str, tuple[int, ...], str]]"


def extract_task_vector(
    base: Path,
    finetuned: Path,
    out: Path,
    family: Family,
    did: Callable[[int, int], None] | None = None,
) -> Extraction:
    """Write what `finetuned` changes in `base` as the new task vector `out`.

    A tensor of which few elements changed is stored sparsely. `did` is told how many changed
    tensors are done, and how many there are. Raises GgezError, and leaves nothing behind then.
    """
    require_engine()
    index = WeightIndex(base, family.layout(base).weights)
    tuned = open_finetune(finetuned, family, index)
    if not tuned.touched:
        raise GgezError(f"{finetuned} is the base {base}: nothing is changed")
    entries: Entries = {}
    for name in sorted(tuned.touched):
        entries |= _entries(tuned, name)
    # Widest first: the format wants each tensor aligned to its own size.
    ordered = sorted(entries.items(), key=lambda entry: -BITS[entry[1][0]])
    placed = consecutive((key, dtype, shape) for key, (dtype, shape, _) in ordered)
    extracted: list[Extracted] = []
    with lock_output(out), atomic_folder(out) as folder:
        check_space({folder: sum(info.nbytes for info in placed.values())})
        with (folder / WEIGHTS).open("xb") as file:
            write_header(file, placed, {"format": "pt"})
            for key, (dtype, _, tensor) in ordered:
                done = _write(file, tuned, key, dtype, tensor)
                if key == tensor or not key.endswith(INDICES):
                    extracted.append(done)
                    if did is not None:
                        did(len(extracted), len(tuned.touched))
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "created_by": f"ggez-hub {__version__}",
            "base": {"weights": dict(index.digests)},
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        nbytes = (folder / WEIGHTS).stat().st_size
    return Extraction(tuple(extracted), (), nbytes)


def _entries(tuned: Finetune, name: str) -> Entries:
    """The entries of one changed tensor, in the form that is smaller."""
    shape = tuned.base[name].shape
    index = "I32" if math.prod(shape) < 2**31 else "I64"
    changed = sum(int((block.float() != 0).sum()) for block in _blocks(tuned, name))
    if changed * (BITS[index] + BITS["F32"]) >= math.prod(shape) * BITS["F32"]:
        return {name: ("F32", shape, name)}
    return {name + INDICES: (index, (changed,), name), name + VALUES: ("F32", (changed,), name)}


def _blocks(tuned: Finetune, name: str) -> Iterator[torch.Tensor]:
    """Delta in float64, block of rows by block of rows, flattened; raises BadAdapter."""
    import torch

    rows, shape = tuned.by_rows(name), tuned.base[name].shape
    for start, stop in blocks(shape):
        block = torch.empty(stop - start, matrix_shape(shape)[1], dtype=torch.float64)
        rows.write(start, stop, block)
        if not torch.isfinite(block).all():
            raise BadAdapter(f"{tuned.name}: {name!r} is not finite: it holds NaN or Inf")
        yield block.flatten()


def _write(file: BinaryIO, tuned: Finetune, key: str, dtype: str, tensor: str) -> Extracted:
    """Write one entry; returns how well it holds its tensor."""
    import torch

    norm = error = 0.0
    position = 0
    for block in _blocks(tuned, tensor):
        single = block.float()
        places = single.nonzero().flatten()
        if key == tensor:
            data = single
        elif dtype == "F32":
            data = single[places]
        else:
            data = (places + position).to(torch.int32 if dtype == "I32" else torch.int64)
        file.write(data.numpy().tobytes())
        position += len(block)
        norm += float(block.square().sum())
        error += float((block - single.double()).square().sum())
    return Extracted(tensor, 0, math.sqrt(norm), math.sqrt(error))
