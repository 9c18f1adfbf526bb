"""A base of 27 billion parameters that takes no room: planning, space, and memory of its merge."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from ggez_hub.hardware import taken_bytes
from ggez_hub.safetensors_header import consecutive, read_header, write_header

HIDDEN, INTERMEDIATE, KEYS, WORDS, SHARDS = 5376, 21504, 2048, 262208, 12
LINEARS = {
    "self_attn.q_proj": (4096, HIDDEN), "self_attn.k_proj": (KEYS, HIDDEN),
    "self_attn.v_proj": (KEYS, HIDDEN), "self_attn.o_proj": (HIDDEN, 4096),
    "mlp.gate_proj": (INTERMEDIATE, HIDDEN), "mlp.up_proj": (INTERMEDIATE, HIDDEN),
    "mlp.down_proj": (HIDDEN, INTERMEDIATE),
}  # fmt: skip
SCRIPT = """
import json, sys
from pathlib import Path
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge

base, adapter, out = map(Path, sys.argv[1:])
report = merge(base, [Adapter(adapter, 0.5)], out, get_family("vlm"))
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak = int(status["VmHWM"].split()[0]) * 1024
print(json.dumps({"touched": report.touched, "nbytes": report.nbytes, "peak": peak}))
"""


def write_base(folder, layers):
    """A Llama in bfloat16 of holes alone, in shards; its bytes."""
    folder.mkdir()
    shapes = {"model.embed_tokens.weight": (WORDS, HIDDEN), "model.norm.weight": (HIDDEN,)}
    for layer in range(layers):
        shapes |= {f"model.layers.{layer}.{n}.weight": shape for n, shape in LINEARS.items()}
    names = list(shapes)
    for number in range(SHARDS):
        part = names[number::SHARDS]
        placed = consecutive((name, "BF16", shapes[name]) for name in part)
        path = folder / f"model-{number + 1:05d}-of-{SHARDS:05d}.safetensors"
        with path.open("wb") as file:
            start = write_header(file, placed, {"format": "pt"})
            file.truncate(start + placed[part[-1]].end)
    weight_map = {
        name: f"model-{n % SHARDS + 1:05d}-of-{SHARDS:05d}.safetensors"
        for n, name in enumerate(names)
    }
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    (folder / "config.json").write_text(json.dumps(config))
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def write_adapter(folder, layers):
    folder.mkdir()
    state = {}
    for layer in layers:
        key = f"base_model.model.model.layers.{layer}.self_attn.k_proj.lora_"
        state |= {f"{key}A.weight": torch.ones(2, HIDDEN), f"{key}B.weight": torch.ones(KEYS, 2)}
    save_file(state, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["k_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))


@pytest.mark.slow
def test_the_merge_of_a_very_large_base_takes_the_memory_of_a_small_one(tmp_path):
    peaks = []
    for layers in (2, 60):
        place = tmp_path / str(layers)
        place.mkdir()
        nbytes = write_base(place / "base", layers)
        write_adapter(place / "adapter", (0, layers - 1))
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *(place / n for n in ("base", "adapter", "out"))],
            check=True, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        report = json.loads(done.stdout)
        assert (report["touched"], report["nbytes"]) == (2, nbytes)
        peaks.append(report["peak"])
        taken = 0
        for path in (place / "base").glob("*.safetensors"):
            before, after = read_header(path), read_header(place / "out" / path.name)
            assert (before.tensors, before.nbytes) == (after.tensors, after.nbytes)
            taken += taken_bytes(after.path)
        # Two tensors that changed, headers, and what a file system keeps for itself.
        assert taken < 2 * 2 * KEYS * HIDDEN + (1 << 22)
    assert nbytes > 5e10
    assert peaks[1] < peaks[0] + (1 << 25)
