"""The index file against reading every card: building it, and resolving with it.

Synthetic cards with curves of the size of a real sweep (five betas, eight scores each), a quarter
of them in Southeast Asia, where the registry starts. `GGEZ_BENCH_CARDS` sets how many (10,000).
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

from ggez_hub.cards import CardDocument, read_card, render_card
from ggez_hub.cards.schema import Location
from ggez_hub.demo.hub import ASSETS, BASE_REPO, seed
from ggez_hub.embedded import HubStore
from ggez_hub.embedded.server import Server
from ggez_hub.hub import Hub
from ggez_hub.regions.catalogue import catalogue
from ggez_hub.registry.constants import INDEX_FILE, INDEX_REPO
from ggez_hub.registry.index.build import build_index

WHO = {"message": "Add the index", "author": "x", "email": "x@x", "date": 1_800_000_000}
NEAR = ["th", "vn", "la", "kh", "mm", "my", "sg", "id", "ph", "bn", "tl", "southeast-asia"]
BETAS = ("0", "0.2", "0.5", "0.8", "1")
# Of cards that are read one by one over HTTP; the cost of each is the same.
FEW = 300
RUNS = 9


def template() -> tuple[str, ...]:
    """A card of the demo world with five betas, split where the copies differ."""
    document = read_card(ASSETS / "embedding" / "th" / "README.md")
    curve = document.card.curve
    assert curve != "unknown"
    card = document.card.model_copy(
        update={
            "curve": {beta: curve[beta] for beta in BETAS},
            # What their errors share is recorded of all betas.
            "parity": "independent",
            "adapter": Location(repo="bench/NAME", revision="a" * 40),
        }
    )
    text = render_card(CardDocument(card, document.front_matter, document.prose))
    text = text.replace("region: th\n", "region: 'REGION'\n").replace(
        "ggez-region:th", "ggez-region:REGION"
    )
    return tuple(re.split(r"(NAME|REGION|(?<=  score: )[\d.]+)", text))


def synthetic(count: int) -> Iterator[tuple[str, str]]:
    """Paths and texts of cards; their scores are below those of the demo's own adapter."""
    rng = random.Random(4)  # noqa: S311
    parts = template()
    regions = sorted(catalogue())
    for number in range(count):
        region = rng.choice(regions if number % 4 else NEAR)
        name = f"adapter-{number:06}"
        filled = [
            name if part == "NAME"
            else region if part == "REGION"
            else f"{float(part) * rng.uniform(0.4, 0.9)}" if place % 2
            else part
            for place, part in enumerate(parts)
        ]  # fmt: skip
        yield f"{region}/embedding/{name}.md", "".join(filled)


def write_cards(folder: Path, count: int, real: Path) -> int:
    """Write `count` synthetic cards beside the real ones below `real`; returns their bytes."""
    total = 0
    for path in real.glob("*/*/*.md"):
        target = folder / path.relative_to(real)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    for path, text in synthetic(count):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        total += target.write_text(text, encoding="utf-8")
    return total


CLIENT = """
import json, sys, time
from ggez_hub.hub import Hub
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolver.resolver import resolve
from ggez_hub.regions import alpha
import huggingface_hub.errors, ggez_hub.parity.curve
alpha("th")
hub, times = Hub(sys.argv[1]), []
for _ in range(int(sys.argv[2])):
    wall, cpu = time.perf_counter(), time.process_time()
    found = resolve(Request("th"), hub).resolution
    times.append((time.perf_counter() - wall, time.process_time() - cpu))
near = sum(r.region in ("th", "southeast-asia") for r in found.rejected) + 1
print(json.dumps([times, found.adapters[0].source.repo, near]))
"""


def resolving(endpoint: str, runs: int) -> tuple[float, float, float, int]:
    """Seconds of the first resolve, and of the median later one: its wall and its CPU time; and
    how many candidates there were.

    In a process of its own, after its imports, with an empty cache.
    """
    with tempfile.TemporaryDirectory() as home:
        env = os.environ | {"HF_HOME": home, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", CLIENT, endpoint, str(runs)],
            env=env, check=True, capture_output=True, text=True,
        )  # fmt: skip
    times, repo, near = json.loads(done.stdout.splitlines()[-1])
    assert repo == f"{BASE_REPO}-th", repo
    later = times[1:] or times
    wall, cpu = (statistics.median(t[i] for t in later) for i in (0, 1))
    return times[0][0], wall, cpu, near


def serve(store: HubStore) -> Server:
    server = Server(store)
    Thread(target=server.run_until, daemon=True).start()
    return server


def cpu_seconds() -> float:
    """Processor time of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def building(what: str, cards: Path, out: Path, previous: Path | None = None) -> None:
    wall, cpu = time.perf_counter(), cpu_seconds()
    built = build_index(cards, out, previous=previous)
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    print(
        f"{what}: {wall:.1f} s, {cpu:.1f} s of processor "
        f"({cpu / built.cards * 1000:.2f} ms a card); {built.size / 1e6:.1f} MB",
        flush=True,
    )


def world(folder: Path) -> HubStore:
    store = HubStore.open(folder)
    seed(store, ASSETS)
    return store


def main() -> None:
    count = int(os.environ.get("GGEZ_BENCH_CARDS", "10000"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = world(folder / "store")
        server = serve(store)
        hub = Hub(server.url)
        at = hub.at_commit(INDEX_REPO, "main", "dataset")
        real = hub.fetch(INDEX_REPO, at.revision, at.files, "dataset") / "cards"
        size = write_cards(folder / "cards", count, real)
        print(f"{count:,} cards of {size / count / 1000:.1f} kB, {size / 1e6:.0f} MB in all")
        file = folder / INDEX_FILE
        building(f"index build of {count:,} cards (aim 60 s)", folder / "cards", file)
        one = next((folder / "cards").glob("fr/*/*.md"))
        one.write_text(one.read_text(encoding="utf-8") + "\nAnother line.\n", encoding="utf-8")
        building("index build --previous, one card changed", folder / "cards", file, file)
        # The cards that are not taken are not asked for: the hub needs only the real ones.
        store.commit("dataset", INDEX_REPO, {INDEX_FILE: folder / INDEX_FILE}, **WHO)
        first, later, cpu, near = resolving(server.url, RUNS)
        print(
            f"resolve among {count:,}, {near:,} in the chain (aim 0.2 s): {later:.3f} s, of which {cpu:.3f} s of processor; "
            f"{first:.3f} s with the download of the file"
        )
        server.should_exit = True

        few = folder / "few"
        write_cards(few, FEW, real)
        times = {}
        for kind in ("cards", "file"):
            with world(folder / f"store-{kind}") as small:
                files: dict[str, bytes | Path] = {
                    f"cards/{p.relative_to(few).as_posix()}": p for p in few.glob("*/*/*.md")
                }
                if kind == "file":
                    build_index(few, folder / "few.sqlite")
                    files[INDEX_FILE] = folder / "few.sqlite"
                small.commit("dataset", INDEX_REPO, files, **WHO)
                server = serve(small)
                times[kind] = resolving(server.url, RUNS)
                server.should_exit = True
        for place, what in ((0, "first"), (1, "later")):
            every, file = times["cards"][place], times["file"][place]
            print(
                f"{what} resolve among {FEW:,}: {every:.3f} s by reading every card, "
                f"{file:.3f} s by the file, ratio {every / file:.1f}"
            )
        store.close()


if __name__ == "__main__":
    main()
