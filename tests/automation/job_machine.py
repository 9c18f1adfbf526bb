"""The embedded hub's jobs, on a machine with a price, where pip has nothing to do."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path

import ggez_hub
from ggez_hub.embedded.jobs import JobRunner, Machine
from ggez_hub.embedded.store import HubStore
from ggez_hub.hub import Hub

from ..worlds import serving

PROJECT = Path(ggez_hub.__file__).parents[1]
# A container has pip and a network; here everything is installed.
PYTHON = f'#!/bin/sh\ntest "$2" = pip || exec {sys.executable} "$@"\n'


def job_runner(folder):
    python = folder / "bin" / "python"
    python.parent.mkdir()
    python.write_text(PYTHON)
    python.chmod(0o755)
    path = [str(python.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {"PATH": os.pathsep.join(path), "PYTHONPATH": str(PROJECT)}
    # The last bits of a model's answers depend on it.
    environment |= {name: os.environ[name] for name in ["OMP_NUM_THREADS"] if name in os.environ}
    return JobRunner(folder, [Machine("t4-small", 0.01)], environment)


@contextmanager
def hub_with_jobs(folder):
    """A running hub, as its user `lab` sees it, and what runs its jobs."""
    for name in ("jobs", "store"):
        (folder / name).mkdir()
    runner = job_runner(folder / "jobs")
    with HubStore.open(folder / "store") as store:
        store.add_account("lab")
        with serving(store, jobs=runner) as endpoint:
            yield Hub(endpoint, store.new_token("lab", "write")), runner
    runner.close()
