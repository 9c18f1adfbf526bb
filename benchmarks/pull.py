"""A pull against the import of torch and a copy, from a hub far away, and again against importing the Hub's client."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.embedded import process, served
from benchmarks.pairs import compare, cost, import_and_copy, ratios, seconds
from ggez_hub.demo.hub import seed
from ggez_hub.embedded import HubStore

# How much later the answers of a hub far away arrive, in seconds.
FAR = 0.1


def main() -> None:
    """Pulls of the demo world from a hub that runs; its start is not measured."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        # A home of its own: neither cache nor notes of the person who runs this.
        os.environ |= {"XDG_CACHE_HOME": str(place / "cache"), "HF_HOME": str(place / "hf")}
        with HubStore.open(place / "hub") as store:
            seed(store)
        with served(place / "hub") as endpoint:
            measure(endpoint, str(place / "thai"))
            from_far_away(endpoint, place)


def measure(endpoint: str, target: str) -> None:
    """Print the ratios. `import huggingface_hub` alone loads nothing: its client is compared."""
    again = [sys.executable, "-m", "ggez_hub", "pull", "--region", "th", "--hub", endpoint]
    again += ["-q", "-o", target]
    # Each merges anew; what was downloaded stays.
    first = ["sh", "-c", 'rm -rf "$0"; exec "$@"', target, *again]
    client = [sys.executable, "-c", "from huggingface_hub import HfApi"]
    pairs = []
    # The first run downloads, and compiles.
    for _ in range(8):
        ours = cost(first)
        pairs.append((ours, import_and_copy(Path(target, "embedding"), Path(f"{target}-copy"))))
    ratios("first pull, nothing to download / import of torch and a copy", pairs[1:], 1.4)
    compare("first pull, nothing to download / pull again", first, again, runs=3)
    compare("pull again / import the client of the Hub", again, client)
    compare("pull again --verify / pull again", [*again, "--verify"], again, runs=5)


def from_far_away(endpoint: str, place: Path) -> None:
    """Print what a pull with nothing in the cache takes, from the hub itself and from far away."""
    target, cache = place / "first", place / "empty"
    os.environ["HF_HOME"] = str(cache)

    def pull(hub: str) -> float:
        shutil.rmtree(target, ignore_errors=True)
        shutil.rmtree(cache, ignore_errors=True)
        command = [sys.executable, "-m", "ggez_hub", "pull", "--region", "th", "--hub", hub, "-q"]
        return seconds([*command, "-o", str(target)])

    relay = [sys.executable, "-m", "benchmarks.relay", endpoint, str(FAR)]
    with process(relay, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        distant = running.stdout.readline().decode().strip()
        times = [(pull(endpoint), pull(distant)) for _ in range(5)]
    near, there = (statistics.median(run) for run in zip(*times, strict=True))
    print(
        f"first pull, nothing in the cache: {near:.2f} s, and {there:.2f} s where answers arrive "
        f"{1000 * FAR:.0f} ms later: as long as {(there - near) / FAR:.0f} answers, one after another"
    )
