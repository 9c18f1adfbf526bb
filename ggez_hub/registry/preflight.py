"""What a pull will cost, before the first byte of weights."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ggez_hub.hub import Hub
from ggez_hub.registry.kinds import form_of
from ggez_hub.registry.resolution import Resolution

# Importing torch and mergekit, measured on Linux (resident, CPU build and CUDA build alike).
IMPORT_BYTES = 900_000_000


@dataclass(frozen=True)
class Preflight:
    """Costs in bytes. `vram_bytes` is what the weights take on a device, without activations.

    `fits` compares disk and memory with this machine.
    """

    fetch_bytes: int
    disk_bytes: int
    ram_bytes: int
    vram_bytes: int
    gated: tuple[str, ...]
    licences: tuple[str, ...]
    fits: bool

    def as_dict(self) -> dict[str, Any]:
        """The JSON of `pull --dry-run --json`."""
        return asdict(self) | {"gated": list(self.gated), "licences": list(self.licences)}


def preflight(resolution: Resolution, hub: Hub, out: Path) -> Preflight:
    """The costs of pulling `resolution` from `hub` into `out`."""
    sources = tuple(adapter.source for adapter in resolution.adapters)
    merging = form_of(resolution).needs_base
    parts = resolution.inputs if merging else sources
    fetch = sum(
        hub.missing_bytes(p.repo, p.revision, [f.as_hub_file() for f in p.files]) for p in parts
    )
    written = (resolution.merged_into,) if merging else sources
    # What is loaded: the merged model, an adapter on its base, or a model that is taken as it is.
    loaded = written if merging or resolution.base is None else (resolution.base, *written)
    # A merge streams tensor by tensor; without the headers a tensor is at most its file. The
    # adapter form computes nothing.
    ram = IMPORT_BYTES + 6 * max(written[0].weight_sizes) if merging else 0
    disk = fetch + sum(p.nbytes for p in written)
    place = out.absolute()
    while not place.exists():
        place = place.parent
    return Preflight(
        fetch_bytes=fetch,
        disk_bytes=disk,
        ram_bytes=ram,
        vram_bytes=sum(sum(p.weight_sizes) for p in loaded),
        gated=tuple(p.repo for p in parts if p.gated),
        licences=tuple(sorted({p.license for p in resolution.inputs})),
        fits=shutil.disk_usage(place).free > disk and _memory() > ram,
    )


def _memory() -> int:
    """Bytes of memory of this machine; unlimited where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**63
