"""What a pull will cost and whether it may be done, before the first byte of weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.errors import GgezError
from ggez_hub.hardware import device_bytes, full_disks, memory_bytes, size_text
from ggez_hub.hub import Hub
from ggez_hub.hub.cache import cache_folder
from ggez_hub.hub.sparse_copy import tensors
from ggez_hub.merging.adapters.peft_config import CONFIG
from ggez_hub.registry.adapter_kinds import form_of
from ggez_hub.registry.resolution import PinnedFile, PinnedRepo, Resolution
from ggez_hub.safetensors_header import BITS

# Importing torch and mergekit, measured on Linux (resident, CPU build and CUDA build alike).
IMPORT_BYTES = 900_000_000
# A merge streams tensor by tensor; this many times the largest is held at once.
TENSORS_HELD = 6
# A weight file below this size is taken for one tensor: its header is not asked for.
SMALL_FILE = 500_000_000


@dataclass(frozen=True)
class Preflight:
    """Costs in bytes. `vram_bytes` is what the weights take on a device, without activations.

    `lacking` compares disk, memory and, if there is a device whose memory is known, that as well: what
    there is too little of, in words.
    """

    fetch_bytes: int
    disk_bytes: int
    ram_bytes: int
    vram_bytes: int
    gated: tuple[str, ...]
    licences: tuple[str, ...]
    lacking: tuple[str, ...]

    def bytes_by_folder(self, out: Path) -> dict[Path, int]:
        """Bytes that the result in `out` takes, and what is fetched for it in the cache."""
        return _by_folder(out, self.fetch_bytes, self.disk_bytes)

    @property
    def fits(self) -> bool:
        return not self.lacking

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "fits": self.fits}


def preflight(resolution: Resolution, hub: Hub, out: Path) -> Preflight:
    """The costs of pulling `resolution` from `hub` into `out`."""
    base, sources = resolution.base, tuple(adapter.source for adapter in resolution.adapters)
    fetched = _fetched(resolution, hub)
    missing = sum(pinned.missing_bytes(hub, files) for pinned, files in fetched)
    # What is written and what is loaded: the merged model, an adapter on its base, both of a switch,
    # or a model that is taken as it is.
    written = loaded = sources
    if base is not None:
        parts = form_of(resolution).parts
        adapters = sources if "adapter" in parts else ()
        written = (*((base,) if "base" in parts else ()), *adapters)
        loaded = (base, *adapters)
    # An adapter form that reads no weights of the base computes nothing.
    ram = 0
    if base is not None and any(
        file.path in base.weights for pinned, files in fetched if pinned is base for file in files
    ):
        ram = IMPORT_BYTES + TENSORS_HELD * _largest_tensor(base, hub)
    # A float8 becomes twice as long.
    wider = sum(base.weight_sizes) if base is not None and resolution.out_dtype else 0
    disk = missing + sum(p.nbytes for p in written) + wider
    vram = sum(sum(p.weight_sizes) for p in loaded) + wider
    return Preflight(
        fetch_bytes=missing,
        disk_bytes=disk,
        ram_bytes=ram,
        vram_bytes=vram,
        gated=tuple(p.repo for p, _ in fetched if p.gated),
        licences=tuple(sorted({p.license for p in resolution.inputs})),
        lacking=tuple(_lacking(_by_folder(out, missing, disk), ram, vram)),
    )


def _by_folder(out: Path, fetched: int, disk: int) -> dict[Path, int]:
    return {out: disk - fetched} | ({cache_folder(): fetched} if fetched else {})


def _lacking(needed: Mapping[Path, int], ram: int, vram: int) -> Iterator[str]:
    """The words for each of disk, memory and device of which more is needed than there is."""
    memory, device = memory_bytes(), device_bytes()
    for disk in full_disks(needed):
        yield f"too little disk: {size_text(disk.free)} are free where {disk.folder} is to be"
    if ram >= (memory or math.inf):
        yield f"does not fit this machine, which has {size_text(memory or 0)} of memory"
    if vram >= (device or math.inf):
        yield f"does not fit its device, which has {size_text(device or 0)}"


def require_inputs(resolution: Resolution, hub: Hub) -> None:
    """Raise NoAccess, with the page where its licence is accepted, for an input that is restricted.

    What is in the cache already has been granted.
    """
    for adapter in resolution.adapters:
        if adapter.source.gated and adapter.source.missing_bytes(hub):
            hub.require_access(adapter.source.repo)
    # An adapter's configuration decides which files of the base are needed.
    for pinned, files in _fetched(resolution, hub):
        if pinned.gated and pinned.missing_bytes(hub, files):
            hub.require_access(pinned.repo)


def _fetched(
    resolution: Resolution, hub: Hub
) -> tuple[tuple[PinnedRepo, tuple[PinnedFile, ...]], ...]:
    sources = tuple(adapter.source for adapter in resolution.adapters)
    parts = tuple((source, source.files) for source in sources)
    configurations = []
    for source in sources:
        files = [file for file in source.files if file.path == CONFIG]
        configurations.append(source.fetch(hub, files) if files else None)
    needed = form_of(resolution).base_files(resolution, configurations)
    return ((resolution.merged_into, needed), *parts) if needed else parts


def _largest_tensor(pinned: PinnedRepo, hub: Hub) -> int:
    """Bytes of the largest tensor, from the headers of large files; at most its file's size."""
    sizes = {f.path: f.size for f in pinned.files if f.path in pinned.weights}
    large = [path for path, size in sizes.items() if size > SMALL_FILE]
    found = [size for size in sizes.values() if size <= SMALL_FILE]
    try:
        for dtype, shape in tensors(hub, pinned.listing, large).values():
            found.append(math.prod(shape) * BITS.get(dtype, 64) // 8)
    except (GgezError, OSError):
        # Without access, without a network: a tensor is at most its file.
        found += [sizes[path] for path in large]
    return max(found, default=0)
