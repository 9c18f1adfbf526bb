"""What a pull will cost, before the first byte of weights."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ggez_hub.hub import Hub
from ggez_hub.registry.forms import get_form
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
    base, sources = resolution.base, [a.source for a in resolution.adapters]
    parts = [base, *sources] if get_form(resolution.form).needs_base else sources
    fetch = sum(
        hub.missing_bytes(p.repo, p.revision, [f.as_hub_file() for f in p.files]) for p in parts
    )
    weights = [file.size for file in base.files if file.path in base.weights]
    # A merge streams tensor by tensor; without the headers a tensor is at most its file. The
    # adapter form computes nothing.
    ram = IMPORT_BYTES + 6 * max(weights) if base in parts else 0
    disk = fetch + (base.nbytes if base in parts else sum(p.nbytes for p in sources))
    place = out.absolute()
    while not place.exists():
        place = place.parent
    return Preflight(
        fetch_bytes=fetch,
        disk_bytes=disk,
        ram_bytes=ram,
        vram_bytes=sum(weights) + (0 if base in parts else sum(p.nbytes for p in sources)),
        gated=tuple(p.repo for p in parts if p.gated),
        licences=tuple(sorted({p.license for p in parts})),
        fits=shutil.disk_usage(place).free > disk and _memory() > ram,
    )


def _memory() -> int:
    """Bytes of memory of this machine; unlimited where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**63
