"""Tasks as job arrays of Slurm, by its own commands; every machine sees the same folder."""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path

from ggez_hub.execution.batches import Batch
from ggez_hub.execution.tasks import EngineFailed, Marked, WorkerLost, note_of

# How often a task is started whose worker ends without an answer: in a share of others, then alone.
ATTEMPTS = 3
# Seconds between two looks at a job.
SHORTEST_POLL, LONGEST_POLL = 0.2, 10.0
# How many looks in a row may find the controller silent.
SILENCE = 30
ENDED = frozenset(
    {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
     "PREEMPTED", "REVOKED", "TIMEOUT"}
)  # fmt: skip


class Slurm:
    """The partition of a cluster; "" is the default one. `workers` is how many tasks run at once.

    The tasks of a run are divided among as many elements of an array; 0 gives each its own. What
    jobs need (account, time, memory) is said by the environment variables of sbatch.
    """

    def __init__(self, partition: str, workers: int) -> None:
        self._partition = [f"--partition={partition}"] if partition else []
        self._at_once = workers
        settings = _ask("scontrol", "show", "config")
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", settings, re.M)
        # Of its processors, counted as allocated, idle, other and in total.
        counts = _ask("sinfo", "-h", "-o", "%C", *self._partition).split()
        self.workers = workers or max(1, sum(int(each.rpartition("/")[2]) for each in counts))
        self._most = max(1, int(found[1]) - 1) if found else 1000

    def run(self, task: Marked, numbers: Sequence[int], device: str = "") -> Generator[int]:
        batch, left, attempts = Batch.beside(task.markers), set(numbers), 0
        name = f"ggez-{hashlib.sha256(str(batch.folder).encode()).hexdigest()[:12]}"
        # That of a command which was killed.
        job = _running(name)
        while left:
            if job is None:
                shares = min(len(left), self._most)
                # A worker that was lost takes nothing with it the next time.
                if self._at_once and not attempts:
                    shares = min(shares, self._at_once)
                batch.write(task, sorted(left), shares)
                job = self._submit(name, batch, shares, device)
                attempts += 1
            try:
                states = yield from _watch(job, batch, task.markers, left)
            finally:
                _cancel(job)
            batch.raise_first()
            if left and "CANCELLED" in states:
                raise EngineFailed(f"Slurm's job {job} was cancelled")
            if left:
                error = _full_disk(batch.folder, note_of(min(left), task.markers))
                if error is None and attempts == ATTEMPTS:
                    error = WorkerLost(min(left))
                if error is not None:
                    error.add_note(f"log: {batch.log(min(left))}")
                    raise error
            job = None

    def _submit(self, name: str, batch: Batch, shares: int, device: str) -> str:
        at_once = f"%{self._at_once}" if self._at_once else ""
        command = [sys.executable, "-m", "ggez_hub.execution", str(batch.folder)]
        options = [
            "--parsable",
            f"--job-name={name}",
            f"--array=0-{shares - 1}{at_once}",
            f"--output={str(batch.folder).replace('%', '%%')}/share-%a.log",
            "--open-mode=append",
            *self._partition,
        ]
        # A task that may use a GPU does without one where there is none.
        if device.startswith("cuda") and "gpu" in _ask("sinfo", "-h", "-o", "%G", *self._partition):
            options.append("--gres=gpu:1")
        script = f'exec {shlex.join(command)} "$SLURM_ARRAY_TASK_ID"'
        return _ask("sbatch", *options, f"--wrap={script}").strip().partition(";")[0]

    def close(self) -> None:
        """Nothing is held."""


def _watch(job: str, batch: Batch, markers: Path, left: set[int]) -> Generator[int, None, set[str]]:
    """Yield what is done, out of `left`, until the job has ended; returns the states of its elements."""
    pause, silent, stopped = SHORTEST_POLL, 0, False
    while True:
        # Before the markers: what they show is then complete at the end.
        try:
            states, silent = _states(job), 0
        except EngineFailed:
            silent += 1
            if silent == SILENCE:
                raise
            states = {"UNKNOWN"}
        for number in sorted(left & {int(p.name) for p in markers.iterdir() if p.name.isdecimal()}):
            left.remove(number)
            pause = SHORTEST_POLL
            yield number
        if states <= ENDED:
            return states
        if batch.has_failed and not stopped:
            stopped = True
            _cancel(job, "--state=PENDING")
        time.sleep(pause)
        pause = min(1.5 * pause, LONGEST_POLL)


def _running(name: str) -> str | None:
    """The job of a name that has not ended."""
    return next(iter(_ask("squeue", "--me", "-h", "-n", name, "-o", "%F").split()), None)


def _states(job: str) -> set[str]:
    """The states of a job's elements; none of a job that ended long ago."""
    try:
        return set(_ask("squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%T").split())
    except EngineFailed as error:
        if "Invalid job id" in str(error):
            return set()
        raise


def _cancel(job: str, *options: str) -> None:
    """Cancel what is left of a job; of one that has ended there is nothing."""
    subprocess.run(["scancel", *options, job], capture_output=True, check=False)  # noqa: S607


def _ask(*command: str) -> str:
    """What a command of Slurm prints; raises EngineFailed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise EngineFailed(f"Slurm's {command[0]} is not on this machine") from None
    if done.returncode:
        said = done.stderr.strip() or f"it ended with {done.returncode}"
        raise EngineFailed(f"Slurm refuses: {said}")
    return done.stdout


def _full_disk(folder: Path, task: str) -> Exception | None:
    """The error of a full disk, if that may be why a worker did not even report what it met."""
    probe = folder / ".room"
    try:
        probe.write_bytes(bytes(1 << 16))
    except OSError as error:
        error.add_note(task)
        return error
    finally:
        probe.unlink(missing_ok=True)
    return None
