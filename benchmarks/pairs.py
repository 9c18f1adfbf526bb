"""Two commands in turn, A B A B ..., and the ratio of their times pair by pair."""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    """Wall time and CPU time (user and system) in seconds."""

    wall: float
    cpu: float


def cost(command: Sequence[str]) -> Cost:
    """What a command takes that must succeed."""
    # Where it is installed, all of it is compiled; a checkout is, after its first run.
    compiled = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=compiled
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def seconds(command: Sequence[str]) -> float:
    """Wall time of a command that must succeed."""
    return cost(command).wall


def import_and_copy(model: Path, to: Path) -> Cost:
    """What nobody can do without: the import of torch, and a copy of the model that is on the disk."""
    imported = cost([sys.executable, "-c", "import torch"])
    script = 'cp -r --reflink=never "$0" "$1"; sync "$1"/*'
    copied = cost(["sh", "-c", script, str(model), str(to)])
    shutil.rmtree(to)
    return Cost(imported.wall + copied.wall, imported.cpu + copied.cpu)


def ratios(label: str, pairs: Sequence[tuple[Cost, Cost]], asked: float) -> None:
    """Print the ratios of wall time and of CPU time, pair by pair.

    Other processes make wall time longer, and CPU time hardly.
    """
    texts = []
    for what in ("wall", "cpu"):
        found = sorted(getattr(ours, what) / getattr(theirs, what) for ours, theirs in pairs)
        texts.append(
            f"{statistics.median(found):.2f} [{found[0]:.2f}, {found[-1]:.2f}] of {what} time"
        )
    print(f"{label}: {', '.join(texts)} over {len(pairs)} pairs, asked for: at most {asked}")


def compare(label: str, a: Sequence[str], b: Sequence[str], runs: int = 15) -> float:
    """Print medians of both and the median ratio a / b, and return that ratio."""
    for command in (a, b):
        seconds(command)
    pairs = [(seconds(a), seconds(b)) for _ in range(runs)]
    ratios = sorted(x / y for x, y in pairs)
    middle = statistics.median(ratios)
    print(
        f"{label}: {statistics.median(x for x, _ in pairs):.3f} s against "
        f"{statistics.median(y for _, y in pairs):.3f} s, ratio {middle:.2f} "
        f"[{ratios[0]:.2f}, {ratios[-1]:.2f}] over {runs} pairs"
    )
    return middle
