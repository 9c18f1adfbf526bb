"""Two commands in turn, A B A B ..., and the ratio of their times pair by pair."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Sequence


def seconds(command: Sequence[str]) -> float:
    """Wall time of a command that must succeed."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


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
