"""The adapter form: the whole `pull --as peft` of the demo world, against importing what it needs.

The aim is a second; on a busy machine the processor time says more. The hub is served by another process, as a hub elsewhere would be; what a pull
takes from it is in the cache (warm) or not (cold: about a megabyte, and every question to the hub).
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from pathlib import Path

from benchmarks.embedded import served
from benchmarks.pairs import compare, seconds

AIM = 1.0


def main() -> None:
    """Warm, cold, and with the hub on this machine started or joined by the command itself."""
    from ggez_hub.embedded import HubStore
    from ggez_hub.world.seed import seed

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
