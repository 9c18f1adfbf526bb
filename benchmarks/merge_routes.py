"""The routes from a base and a LoRA to a merged model, each timed in a process of its own.

`python -m benchmarks.merge_routes ROUTE BASE ADAPTER OUT TINY_BASE TINY_ADAPTER` prints one line of
JSON. The tiny model goes first, so that no import and no first call is timed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

BETA = 0.4


def ours(base: Path, adapter: Path, out: Path) -> None:
    """ggez-hub's merge, to the disk: it syncs what it writes. It compiles its kernel in that time."""
    from ggez_hub.families import get_family
    from ggez_hub.merging import Adapter, merge

    merge(base, [Adapter(adapter, BETA)], out, get_family("vlm"))


def plain(base: Path, adapter: Path, out: Path) -> None:
    """The same without the extra `fast`."""
    from ggez_hub.merging import fused_kernel

    fused_kernel.LEAST = sys.maxsize
    ours(base, adapter, out)


def cuda(base: Path, adapter: Path, out: Path) -> None:
    """The same, computed by a GPU."""
    from ggez_hub.families import get_family
    from ggez_hub.merging import Adapter, merge
    from ggez_hub.merging.devices import merge_device
    from ggez_hub.merging.methods import NAME, Method

    device = merge_device("cuda", Method.parse(NAME))
    merge(base, [Adapter(adapter, BETA)], out, get_family("vlm"), device=device)


def mergekit(base: Path, adapter: Path, out: Path) -> None:
    """mergekit's own `base+lora`, fresh: it writes base + LoRA as a model, and then merges that."""
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    configuration = {
        "merge_method": "linear",
        "dtype": "float16",
        "models": [
            {"model": str(base), "parameters": {"weight": 1 - BETA}},
            {"model": f"{base}+{adapter}", "parameters": {"weight": BETA}},
        ],
    }
    with tempfile.TemporaryDirectory(dir=out.parent) as cache:
        options = MergeOptions(
            lora_merge_cache=cache, copy_tokenizer=False, write_model_card=False, quiet=True
        )
        run_merge(MergeConfiguration.model_validate(configuration), str(out), options)


def naive(base: Path, adapter: Path, out: Path) -> None:
    """All tensors in memory, W + beta * s * (B @ A) in float32, and all of them saved."""
    import torch
    from safetensors.torch import load_file, save_file

    out.mkdir()
    config = json.loads((adapter / "adapter_config.json").read_text())
    scale = config["lora_alpha"] / config["r"]
    lora = load_file(adapter / "adapter_model.safetensors")
    shards = {path.name: load_file(path) for path in sorted(base.glob("*.safetensors"))}
    for tensors in shards.values():
        for name in tensors:
            key = f"base_model.model.{name.removesuffix('.weight')}"
            if f"{key}.lora_A.weight" in lora:
                a, b = lora[f"{key}.lora_A.weight"], lora[f"{key}.lora_B.weight"]
                merged = tensors[name].float() + BETA * (scale * (b @ a))
                tensors[name] = merged.to(torch.float16)
    for file, tensors in shards.items():
        save_file(tensors, out / file, metadata={"format": "pt"})


ROUTES: dict[str, Callable[[Path, Path, Path], None]] = {
    "ours": ours,
    "plain": plain,
    "cuda": cuda,
    "mergekit": mergekit,
    "naive": naive,
}


class AnonymousMemory(threading.Thread):
    """Samples this process's anonymous memory until `stop`."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.before = self.peak = self._now()
        self._over = threading.Event()

    @staticmethod
    def _now() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

    def run(self) -> None:
        while not self._over.wait(0.005):
            self.peak = max(self.peak, self._now())

    def stop(self) -> None:
        self._over.set()
        self.join()


def sync_tree(folder: Path) -> None:
    """Bring the files of a folder to the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)


def bytes_written() -> int:
    """What this process has given to file systems, deleted again or not."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def claim_memory(base: Path, folder: Path) -> None:
    """Have free memory for twice the model before anything is timed.

    A virtual machine gives what it does not use back to its host, and gets it back page by page,
    slowly: whoever wrote first would pay for it.
    """
    waste = folder / "waste"
    for path in (*base.glob("*.safetensors"),) * 2:
        with path.open("rb") as source, waste.open("ab") as target:
            shutil.copyfileobj(source, target, 1 << 22)
    waste.unlink()


def main() -> None:
    """Run one route and print what it cost."""
    route = ROUTES[sys.argv[1]]
    base, adapter, out, tiny_base, tiny_adapter = map(Path, sys.argv[2:])
    first = out.with_name(f"{out.name}-first")
    route(tiny_base, tiny_adapter, first)
    shutil.rmtree(first)
    claim_memory(base, out.parent)
    memory, written = AnonymousMemory(), bytes_written()
    memory.start()
    start, work = time.perf_counter(), time.process_time()
    route(base, adapter, out)
    done, work = time.perf_counter() - start, time.process_time() - work
    sync_tree(out)
    durable = time.perf_counter() - start
    memory.stop()
    cost = {
        "seconds": done,
        "durable": durable,
        "cpu": work,
        "anonymous": memory.peak - memory.before,
        "written": bytes_written() - written,
    }
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
