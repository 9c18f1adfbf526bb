"""What a pull will cost, before the first byte of weights."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ggez_hub.hub import Hub
from ggez_hub.merging.adapters.peft_config import CONFIG
from ggez_hub.registry.kinds import form_of
from ggez_hub.registry.resolution import PinnedRepo, Resolution

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
    base, sources = resolution.base, tuple(adapter.source for adapter in resolution.adapters)
    configurations = [_configuration(source, hub) for source in sources]
    needed = form_of(resolution).base_files(resolution, configurations)
    parts = [(source, source.files) for source in sources]
    if base is not None and needed:
        parts.insert(0, (base, needed))
    fetch = sum(
        hub.missing_bytes(p.repo, p.revision, [f.as_hub_file() for f in files])
        for p, files in parts
    )
    # What is written and what is loaded: the merged model, an adapter on its base, or a model that
    # is taken as it is.
    written = loaded = sources
    if base is not None:
        written = (base,) if resolution.form == "merged" else sources
        loaded = (base,) if resolution.form == "merged" else (base, *sources)
    # Tensors are read one by one; without the headers a tensor is at most its file. An adapter form
    # that reads no weights of the base computes nothing.
    ram = 0
    if base is not None and any(file.path in base.weights for file in needed):
        ram = IMPORT_BYTES + 6 * max(base.weight_sizes)
    disk = fetch + sum(p.nbytes for p in written)
    place = out.absolute()
    while not place.exists():
        place = place.parent
    return Preflight(
        fetch_bytes=fetch,
        disk_bytes=disk,
        ram_bytes=ram,
        vram_bytes=sum(sum(p.weight_sizes) for p in loaded),
        gated=tuple(p.repo for p, _ in parts if p.gated),
        licences=tuple(sorted({p.license for p in resolution.inputs})),
        fits=shutil.disk_usage(place).free > disk and _memory() > ram,
    )


def _configuration(source: PinnedRepo, hub: Hub) -> Path | None:
    """The folder of an adapter's configuration, a small file; None if it has none."""
    files = [file.as_hub_file() for file in source.files if file.path == CONFIG]
    return hub.fetch(source.repo, source.revision, files) if files else None


def _memory() -> int:
    """Bytes of memory of this machine; unlimited where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**63
