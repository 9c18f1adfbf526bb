"""A task vector from a full fine-tune: Delta in float32, dense or sparse, written as it streams."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ggez_hub import __version__
from ggez_hub.atomic_files import atomic_folder
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
from ggez_hub.merging.extraction.lora import Extracted, Extraction, NothingToExtract
from ggez_hub.merging.merge import require_engine
from ggez_hub.merging.side_files import check_space
from ggez_hub.output_lock import lock_output

if TYPE_CHECKING:
    import torch

BYTES = {"F32": 4, "I32": 4, "I64": 8}


@dataclass(frozen=True)
class Entry:
    """One tensor of the file: a whole Delta, or one of the two lists of a sparse one."""

    key: str
    tensor: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Its bytes in the file."""
        return BYTES[self.dtype] * math.prod(self.shape)


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
        raise NothingToExtract(f"{finetuned} is the base {base}: nothing is changed")
    entries = [entry for name in sorted(tuned.touched) for entry in _entries(tuned, index, name)]
    # Widest first: the format wants each tensor aligned to its own size.
    entries.sort(key=lambda entry: -BYTES[entry.dtype])
    extracted: list[Extracted] = []
    with lock_output(out), atomic_folder(out) as folder:
        check_space(folder, sum(entry.nbytes for entry in entries))
        with (folder / WEIGHTS).open("xb") as file:
            _write_header(file, entries)
            for entry in entries:
                done = _write(file, tuned, index, entry)
                if done is not None:
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


def _entries(tuned: Finetune, base: WeightIndex, name: str) -> tuple[Entry, ...]:
    """The entries of one changed tensor, whichever form is smaller."""
    shape = base[name].shape
    size = math.prod(shape)
    index = "I32" if size < 2**31 else "I64"
    changed = sum(int((block != 0).sum()) for block in _float32(tuned, base, name))
    if changed * (BYTES[index] + BYTES["F32"]) >= size * BYTES["F32"]:
        return (Entry(name, name, "F32", shape),)
    return (
        Entry(name + INDICES, name, index, (changed,)),
        Entry(name + VALUES, name, "F32", (changed,)),
    )


def _float32(tuned: Finetune, base: WeightIndex, name: str) -> Iterator[torch.Tensor]:
    """Delta in float32, block of rows by block of rows, flattened."""
    for block in _float64(tuned, base, name):
        yield block.float()


def _float64(tuned: Finetune, base: WeightIndex, name: str) -> Iterator[torch.Tensor]:
    import torch

    rows, shape = tuned.by_rows(name), base[name].shape
    for start, stop in blocks(shape):
        block = torch.empty(stop - start, matrix_shape(shape)[1], dtype=torch.float64)
        rows.write(start, stop, block)
        if not torch.isfinite(block).all():
            raise BadAdapter(f"{tuned.name}: {name!r} is not finite: it holds NaN or Inf")
        yield block.flatten()


def _write_header(file: BinaryIO, entries: list[Entry]) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for entry in entries:
        end = position + entry.nbytes
        header[entry.key] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)


def _write(file: BinaryIO, tuned: Finetune, base: WeightIndex, entry: Entry) -> Extracted | None:
    """Write one entry; what became of its tensor, if the values are in this entry."""
    import torch

    norm = error = 0.0
    position = 0
    for block in _float64(tuned, base, entry.tensor):
        single = block.float()
        places = single.nonzero().flatten()
        if entry.key == entry.tensor:
            data = single
        elif entry.dtype == "F32":
            data = single[places]
        else:
            data = (places + position).to(torch.int32 if entry.dtype == "I32" else torch.int64)
        file.write(data.numpy().tobytes())
        position += len(block)
        norm += float(block.square().sum())
        error += float((block - single.double()).square().sum())
    if entry.key.endswith(INDICES) and entry.key != entry.tensor:
        return None
    return Extracted(entry.tensor, 0, math.sqrt(norm), math.sqrt(error))
