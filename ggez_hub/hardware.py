"""Memory, free disk and accelerator memory of this machine; nothing heavy is imported."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def size_text(nbytes: int) -> str:
    """A number of bytes with its unit: `0 bytes`, `412 kB`, `11.2 MB`, `1.5 TB`."""
    for size, unit in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB")):
        if nbytes >= size:
            return f"{nbytes / size:.1f} {unit}"
    return f"{nbytes / 1e3:.0f} kB" if nbytes >= 1000 else f"{nbytes} bytes"


def memory_bytes() -> int | None:
    """Bytes of memory that a process may have; None where the system does not report it."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return min([total, *_container_limits()])


def _container_limits() -> list[int]:
    found = []
    for path in CGROUP_LIMITS:
        try:
            text = path.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            found.append(int(text))
    return found


def device_bytes() -> int | None:
    """Bytes of memory of the largest NVIDIA device; None without one that reports it."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    query = [command, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    # One line for each device, in MiB.
    sizes = [int(line) * 2**20 for line in answer.stdout.split() if line.isdigit()]
    return max(sizes, default=None)


def free_disk_bytes(out: Path) -> int:
    """Free bytes of the disk on which `out` is or will be."""
    place = out.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def taken_bytes(path: Path) -> int:
    """Bytes of the disk that a file takes: fewer than its size, if it has holes."""
    status = path.stat()
    blocks: int | None = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None else blocks * 512
