"""The machine: what torch can compute on, and the disks of the caches."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.hardware import device_bytes, free_disk_bytes
from ggez_hub.installation import NAME, CheckResult

if TYPE_CHECKING:
    pass


TORCH_TIMEOUT = 120.0  # seconds: the first import of torch reads gigabytes


# A small model and its merge; `pull` prints beforehand what each takes.
LITTLE_DISK = 5_000_000_000


# A broken library may end the process that imports it.
ASK_TORCH = """
import json, torch
gpus = [
    (p.name, p.total_memory)
    for p in map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
]
print(json.dumps({"version": torch.__version__, "gpus": gpus, "mps": torch.backends.mps.is_available()}))
"""


def devices() -> Iterator[CheckResult]:
    """What torch can compute on; nothing where it is not installed."""
    if importlib.util.find_spec("torch") is None:
        return
    result = partial(CheckResult, "machine", "torch")
    command = [sys.executable, "-P", "-c", ASK_TORCH]
    errors = ""
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TORCH_TIMEOUT
        )
        errors = ended.stderr
        found = json.loads(ended.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, OSError, ValueError, IndexError) as problem:
        said = errors if isinstance(problem, ValueError | IndexError) else str(problem)
        why = (said.strip().splitlines() or ["its process ended without a message"])[-1]
        yield result("note", why, "pip install --force-reinstall torch")
        return
    names = [f"{name} ({size / 1e9:.0f} GB)" for name, size in found["gpus"]]
    names += ["MPS"] if found["mps"] else []
    said = f"{found['version']} on {', '.join(names) or 'the CPU'}"
    if names or not device_bytes():
        yield result("ok", said)
    else:
        fix = "Install a torch for CUDA: https://pytorch.org/get-started/locally"
        yield result("note", f"{said}, though there is an NVIDIA device", fix)


def disks() -> Iterator[CheckResult]:
    """The caches: where they are, whether they can be written, and what is free there."""
    import platformdirs

    # By the environment: the library's constants cannot be imported with every HF_ENDPOINT.
    home = os.environ.get("HF_HOME")
    if not home:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        home = str(Path(cache) / "huggingface")
    models = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()
    yield _disk("cache of models", models, "Set HF_HOME to another folder.")
    own = platformdirs.user_cache_path(NAME)
    yield _disk("cache of ggez-hub", own, "Set XDG_CACHE_HOME to another folder.")


def _disk(name: str, folder: Path, other: str) -> CheckResult:
    result = partial(CheckResult, "machine", name)
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return result("broken", f"{folder}: {there} cannot be written", other)
    free = free_disk_bytes(folder)
    said = f"{folder}: {free / 1e9:.1f} GB free"
    return (
        result("note", said, f"Free some space. {other}")
        if free < LITTLE_DISK
        else result("ok", said)
    )
