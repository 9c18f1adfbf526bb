"""The merge engine against mergekit's own route, against naive torch, and against a copy.

`python -m benchmarks merge`, or `python -m benchmarks.merge --small` for a quick look. All routes
take turns in one run, each in a process of its own, with the base in the page cache. A route is
over when its result is on the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from benchmarks.merge_inputs import (
    COMMAND,
    FULL,
    SMALL,
    Size,
    write_adapter,
    write_base,
    write_open_clip_like,
)
from benchmarks.merge_routes import BETA, ROUTES, claim_memory, sync_tree
from benchmarks.pairs import cost, import_and_copy, ratios
from ggez_hub.digests import sha256_file

MB = 1e6
TINY = Size(1, 512, 512, 64, 1)
# What is asked for: our time at most so many times theirs.
LIMITS = {"mergekit": 0.12, "naive": 0.4, "cp": 1.4}

Cost = dict[str, float]


def main() -> None:
    """The full measurement: minutes, and 6 GB of disk."""
    run(FULL, rounds=3)


def run(size: Size, rounds: int, folder: Path | None = None) -> None:
    """Measure in a temporary folder within `folder`."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        place = Path(temporary)
        routes(place / "routes", size, rounds)
        memory(place / "memory", size)
        command(place / "command", rounds + 2)


def routes(place: Path, size: Size, rounds: int) -> None:
    """All routes, round by round, and ours as a ratio of each of the others."""
    base, adapter = write_base(place / "base", size), write_adapter(place / "adapter", size)
    tiny = write_base(place / "tiny", TINY), write_adapter(place / "tiny-adapter", TINY)
    model = sum(path.stat().st_size for path in base.glob("*.safetensors"))
    if find_spec("llvmlite") is None:
        print("without llvmlite, which the extra `fast` installs, `ours` is `plain`")
    print(
        f"{model / MB:.0f} MB in {size.shards} shards, {rounds} rounds, "
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    costs: dict[str, list[Cost]] = {route: [] for route in (*ROUTES, "cp") if route != "cuda"}
    for number in range(rounds):
        names = list(costs)
        # Each round starts elsewhere: no route always follows the same one.
        for route in names[number % len(names) :] + names[: number % len(names)]:
            os.sync()
            out = place / f"out-{route}"
            costs[route].append(
                copy(base, out) if route == "cp" else merged(route, base, adapter, out, tiny)
            )
            shutil.rmtree(out)
    for route, found in costs.items():
        middle = {key: statistics.median(cost[key] for cost in found) for key in found[0]}
        rest = (
            f", anonymous memory +{middle['anonymous'] / MB:.0f} MB, "
            f"written {middle['written'] / model:.2f} times the model"
            if "anonymous" in middle
            else ""
        )
        print(
            f"{route}: {middle['seconds']:.2f} s, on the disk {middle['durable']:.2f} s, "
            f"{middle['cpu']:.2f} s of CPU{rest}"
        )
    for our, (route, limit) in product(("ours", "plain"), LIMITS.items()):
        pairs = list(zip(costs[our], costs[route], strict=True))
        # Other processes make wall time longer, and hardly what a processor has to do.
        ratios, work = (
            sorted(one[what] / other[what] for one, other in pairs) for what in ("durable", "cpu")
        )
        print(
            f"{our} / {route}: {statistics.median(ratios):.2f} "
            f"[{ratios[0]:.2f}, {ratios[-1]:.2f}], asked for: at most {limit}; "
            f"of CPU {statistics.median(work):.2f} [{work[0]:.2f}, {work[-1]:.2f}]"
        )
    with_cuda(base, adapter, tiny, rounds)


def with_cuda(base: Path, adapter: Path, tiny: tuple[Path, Path], rounds: int) -> None:
    """`merge --device cuda` as a ratio of the merge without it; both have to write the same bytes."""
    import torch

    if not torch.cuda.is_available():
        print("cuda / ours: not measured, torch sees no GPU here")
        return
    ratios, bytes_of = [], {}
    for _ in range(rounds):
        durable = {}
        for route in ("ours", "cuda"):
            os.sync()
            out = base.with_name(f"out-{route}")
            durable[route] = merged(route, base, adapter, out, tiny)["durable"]
            bytes_of[route] = [sha256_file(path) for path in sorted(out.glob("*.safetensors"))]
            shutil.rmtree(out)
        if bytes_of["cuda"] != bytes_of["ours"]:
            raise SystemExit("the merge has other bytes with --device cuda")
        ratios.append(durable["cuda"] / durable["ours"])
    print(
        f"cuda / ours on {torch.cuda.get_device_name()}: {statistics.median(ratios):.2f} "
        f"[{min(ratios):.2f}, {max(ratios):.2f}], the same sha256s"
    )


def merged(
    route: str, base: Path, adapter: Path, out: Path, tiny: tuple[Path, Path]
) -> dict[str, float]:
    """One run of a route."""
    command = [sys.executable, "-m", "benchmarks.merge_routes", route]
    paths = [str(path) for path in (base, adapter, out, *tiny)]
    done = subprocess.run([*command, *paths], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{route} failed:\n{done.stderr}")
    cost: Cost = json.loads(done.stdout.splitlines()[-1])
    return cost


def copy(base: Path, out: Path) -> Cost:
    """`cp -r` and a sync: what reading and writing the model costs."""
    claim_memory(base, out.parent)
    start, work = time.perf_counter(), _cpu_seconds()
    subprocess.run(
        [shutil.which("cp") or "cp", "-r", "--reflink=never", str(base), str(out)], check=True
    )
    done = time.perf_counter() - start
    sync_tree(out)
    durable = time.perf_counter() - start
    return {"seconds": done, "durable": durable, "cpu": _cpu_seconds() - work}


def _cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    used = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in used)


def memory(place: Path, size: Size) -> None:
    """Our anonymous memory for a model with twice and four times as many layers."""
    tiny = write_base(place / "tiny", TINY), write_adapter(place / "tiny-adapter", TINY)
    for layers in (size.layers // 3, size.layers * 2 // 3, size.layers):
        part = Size(layers, size.hidden, size.intermediate, size.vocabulary, 1)
        base = write_base(place / f"base-{layers}", part)
        adapter = write_adapter(place / f"adapter-{layers}", part)
        cost = merged("ours", base, adapter, place / f"out-{layers}", tiny)
        allowed = 350e6 + 2 * part.largest
        print(
            f"{layers} layers, {2 + 9 * layers + 1} tensors: anonymous memory "
            f"+{cost['anonymous'] / MB:.0f} MB, asked for: at most {allowed / MB:.0f} MB"
        )
    shutil.rmtree(place)


def command(place: Path, runs: int) -> None:
    """The complete command on a small model against the import of torch and a copy."""
    base = write_base(place / "llama", COMMAND)
    models = {"vlm": base, "embedding": write_open_clip_like(place / "open_clip", base)}
    adapter = write_adapter(place / "adapter", COMMAND)
    for family, model in models.items():
        out = place / f"out-{family}"
        hub = [sys.executable, "-m", "ggez_hub", "merge", "--base", str(model), "--family", family]
        hub += ["--adapter", str(adapter), "--beta", str(BETA), "-o", str(out)]
        pairs = []
        for _ in range(runs + 1):
            pairs.append((cost(hub), import_and_copy(model, place / "copy")))
            shutil.rmtree(out)
        nbytes = sum(path.stat().st_size for path in model.glob("*.safetensors"))
        label = f"`ggez-hub merge` of {nbytes / MB:.0f} MB ({family}) / import of torch and a copy"
        # The first run compiles.
        ratios(label, pairs[1:], 1.4)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--small", action="store_true", help="a model of 80 MB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to put the temporary folder")
    chosen = parser.parse_args()
    run(SMALL if chosen.small else FULL, chosen.rounds, chosen.folder)
