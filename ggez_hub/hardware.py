"""Memory, free disk and accelerator memory of this machine; nothing heavy is imported."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
    return shutil.disk_usage(existing_part(out)).free


@dataclass(frozen=True)
class FullDisk:
    """A disk with too little room: a folder on it, and its free and its needed bytes."""

    folder: Path
    free: int
    needed: int


def full_disks(needed: Mapping[Path, int]) -> Iterator[FullDisk]:
    """The disks without room for the bytes that each folder needs, and a little more.

    Folders of one disk share its room.
    """
    disks: dict[int, list[Path]] = {}
    for folder in needed:
        disks.setdefault(existing_part(folder).stat().st_dev, []).append(folder)
    for folders in disks.values():
        total, free = sum(needed[folder] for folder in folders), free_disk_bytes(folders[0])
        if free < total * 1.02:
            yield FullDisk(folders[0], free, total)


def existing_part(path: Path) -> Path:
    """The part of a path that exists already."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def taken_bytes(path: Path) -> int:
    """Bytes of the disk that a file takes: fewer than its size, if it has holes."""
    status = path.stat()
    blocks: int | None = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None else blocks * 512
