"""A pull against the import of torch and a copy, and the same pull again against importing the Hub's client."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.embedded import served
from benchmarks.pairs import compare, cost, import_and_copy, ratios
from ggez_hub.demo.hub import seed
from ggez_hub.embedded import HubStore


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
