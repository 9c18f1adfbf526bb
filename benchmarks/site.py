"""The explorer of many cards: time and memory of its build, and what a reader's first view moves.

The synthetic cards of `benchmarks.index`; `GGEZ_BENCH_CARDS` sets how many (10,000).
"""

from __future__ import annotations

import gzip
import os
import resource
import tempfile
import time
from pathlib import Path

from benchmarks.index import write_cards
from ggez_hub.charts import site_files
from ggez_hub.hub import Hub
from ggez_hub.registry.index.entries import shipped_cards
from ggez_hub.site.build import build_site
from ggez_hub.site.source import read_source

NOWHERE = Hub("http://127.0.0.1:9", offline=True)
# What is loaded before the map is drawn.
FIRST_VIEW = ("index.html", "style.css", "explorer.js", "data/world.js", "data/overview.js")


def peak() -> float:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def compressed(paths: list[Path]) -> int:
    return sum(len(gzip.compress(path.read_bytes(), 6)) for path in paths)


def main() -> None:
    count = int(os.environ.get("GGEZ_BENCH_CARDS", "10000"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = write_cards(folder / "cards", count, shipped_cards())
        print(f"{count:,} cards, {size / 1e6:.0f} MB")
        wall = time.perf_counter()
        source = read_source(NOWHERE, "hf", folder / "cards")
        print(
            f"index of them: {time.perf_counter() - wall:.1f} s, peak {peak():.0f} MB", flush=True
        )
        wall, cpu = time.perf_counter(), time.process_time()
        built = build_site(source, folder / "site", site_files())
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(
            f"site build: {wall:.1f} s, {cpu:.1f} s of processor ({cpu / built.adapters * 1000:.1f} ms "
            f"a card), peak {peak():.0f} MB; {built.files:,} files, {built.size / 1e6:.0f} MB",
            flush=True,
        )
        site = folder / "site"
        first = compressed([site / path for path in FIRST_VIEW])
        print(f"first view, compressed (aim below 500 kB): {first / 1000:.0f} kB")
        for what, pattern in (
            ("search, all tables", "data/adapters/table-*.js"),
            ("the largest country", "data/countries/*.js"),
            ("the largest adapter", "data/adapters/*/*.js"),
        ):
            found = sorted(site.glob(pattern), key=lambda path: path.stat().st_size)
            chosen = found if what.startswith("search") else found[-1:]
            print(f"{what}, compressed: {compressed(chosen) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
