"""The adapter form: `pull --as peft` of the demo world, `merge --as peft` of a LoRA of 50 MB, against importing what they need.

The aim is a second; on a busy machine the processor time says more. The hub is served by another process, as a hub elsewhere would be; what a pull
takes from it is in the cache (warm) or not (cold: about a megabyte, and every question to the hub).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.embedded import put, served
from benchmarks.pairs import compare, seconds

if TYPE_CHECKING:
    from ggez_hub.embedded import HubStore

AIM = 1.0


def main() -> None:
    """Warm, cold, and with the hub on this machine started or joined by the command itself."""
    from ggez_hub.demo.hub import seed
    from ggez_hub.embedded import HubStore

    floor = [sys.executable, "-c", "import huggingface_hub, click"]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        with HubStore.open(place / "hub") as store:
            seed(store)
        os.environ["HF_HOME"] = str(place / "cache")
        with served(place / "hub") as endpoint:
            warm = pull(place, endpoint)
            compare(f"pull --as peft, cached (aim {AIM} s) / imports", warm, floor)
            print(f"processor time of it: {processor_seconds(warm):.2f} s")
            cold = pull(place, endpoint, "HF_HOME=$(mktemp -d -p .) ")
            compare(f"pull --as peft, nothing cached (aim {AIM} s) / imports", cold, floor)
        compare("pull --hub embedded --as peft / imports", pull(place, "embedded"), floor)
        with HubStore.open(place / "large") as store:
            write_large(place, store)
        with served(place / "large") as endpoint:
            for label, command in large(place, endpoint).items():
                compare(f"{label} (aim {AIM} s) / imports", command, floor)
                print(f"processor time of it: {processor_seconds(command):.2f} s")


LORA = ("layers.{}.self_attn.q_proj", "layers.{}.self_attn.v_proj")
LAYERS, WIDTH, RANK = 64, 6144, 16
RECIPE = """kind: merge
family: vlm
base: bench/base@main
adapters: [{adapter: bench/lora@main, beta: 0.4}]
"""


def write_large(place: Path, store: HubStore) -> None:
    """A LoRA of 50 MB and a base, as folders below `place` and as repositories of a hub."""
    import numpy as np
    from safetensors.numpy import save_file

    base, lora = place / "base", place / "lora"
    base.mkdir()
    lora.mkdir()
    values = np.random.default_rng(0).standard_normal((RANK, WIDTH)).astype(np.float16)
    state = {}
    for layer in range(LAYERS):
        for module in LORA:
            key = f"base_model.model.model.{module.format(layer)}"
            state[f"{key}.lora_A.weight"] = values
            state[f"{key}.lora_B.weight"] = values.reshape(WIDTH, RANK)
    save_file(state, lora / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA", "r": RANK, "lora_alpha": 2 * RANK, "target_modules": ["q_proj", "v_proj"]
    }  # fmt: skip
    (lora / "adapter_config.json").write_text(json.dumps(config))
    save_file({"model.embed_tokens.weight": values}, base / "model.safetensors")
    model = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    (base / "config.json").write_text(json.dumps(model))
    for folder in (base, lora):
        store.create_repo("model", f"bench/{folder.name}")
        put(store, f"bench/{folder.name}", {path.name: path for path in folder.iterdir()})
    (place / "recipe.yaml").write_text(RECIPE)


def large(place: Path, endpoint: str) -> dict[str, list[str]]:
    """The commands, each of which writes a new folder below `place` each time."""
    local = "--base base --adapter lora --beta 0.4 --family vlm"
    hub = f"--recipe recipe.yaml --hub {endpoint}"
    start = f"cd {place} && exec env HF_HOME=$(mktemp -d -p .) {sys.executable} -m ggez_hub merge"
    return {
        label: ["sh", "-c", f"{start} {inputs} --as peft -q -o $(mktemp -d -p .)/out"]
        for label, inputs in (
            ("merge --as peft, 50 MB in a folder", local),
            ("merge --as peft, 50 MB on a hub, nothing cached", hub),
        )
    }


def pull(place: Path, hub: str, environment: str = "") -> list[str]:
    """The command, which writes a new folder below `place` each time."""
    command = f"{sys.executable} -m ggez_hub pull --region th --as peft --hub {hub}"
    return ["sh", "-c", f"cd {place} && {environment}exec {command} -q -o $(mktemp -d -p .)/out"]


def processor_seconds(command: list[str], runs: int = 5) -> float:
    """The least time that processors spent on the command in some runs, which other load leaves alone."""
    spent = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds(command)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return min(spent)
