"""Devices that torch can use, and the disks of the caches."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ggez_hub.hardware import device_bytes, free_disk_bytes
from ggez_hub.installation import CheckResult

TIMEOUT = 120.0  # seconds: the first import of torch reads gigabytes
# A small model and its merge; `pull` says beforehand what each takes.
LITTLE_DISK = 5_000_000_000
# A broken library may end the process that imports it.
ASK = """
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
    command = [sys.executable, "-P", "-c", ASK]
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TIMEOUT
        )
        found = json.loads(ended.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, OSError, ValueError, IndexError) as problem:
        said = ended.stderr if isinstance(problem, ValueError | IndexError) else str(problem)
        why = (said.strip().splitlines() or ["its process ended without a word"])[-1]
        yield CheckResult("machine", "torch", "note", why, "pip install --force-reinstall torch")
        return
    names = [f"{name} ({size / 1e9:.0f} GB)" for name, size in found["gpus"]]
    names += ["MPS"] if found["mps"] else []
    said = f"{found['version']} on {', '.join(names) or 'the CPU'}"
    if not names and device_bytes():
        yield CheckResult(
            "machine", "torch", "note", f"{said}, though there is an NVIDIA device",
            "Install a torch for CUDA: https://pytorch.org/get-started/locally",
        )  # fmt: skip
        return
    yield CheckResult("machine", "torch", "ok", said)


def disks() -> Iterator[CheckResult]:
    """The caches: where they are, whether they can be written, and what is free there."""
    import platformdirs

    yield _disk("cache of models", _models(), "Set HF_HOME to another folder.")
    own = platformdirs.user_cache_path("ggez-hub")
    yield _disk("cache of ggez-hub", own, "Set XDG_CACHE_HOME to another folder.")


def _models() -> Path:
    # By the environment: the library's constants cannot be imported with every HF_ENDPOINT.
    home = os.environ.get("HF_HOME")
    if not home:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        home = str(Path(cache) / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def _disk(name: str, folder: Path, other: str) -> CheckResult:
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return CheckResult("machine", name, "broken", f"{folder}: {there} cannot be written", other)
    free = free_disk_bytes(folder)
    said = f"{folder}: {free / 1e9:.1f} GB free"
    if free < LITTLE_DISK:
        return CheckResult("machine", name, "note", said, f"Free some space. {other}")
    return CheckResult("machine", name, "ok", said)
