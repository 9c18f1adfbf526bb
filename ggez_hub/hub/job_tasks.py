"""Tasks as HF Jobs, which share folders through a private data set of the hub."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ggez_hub
from ggez_hub.errors import UsageProblem
from ggez_hub.execution import SharedFolder
from ggez_hub.execution.batches import Batch
from ggez_hub.execution.descriptions import moved
from ggez_hub.execution.tasks import EngineFailed, Marked, WorkerLost
from ggez_hub.hub.client import Hub
from ggez_hub.hub.commits import ensure_repo, require_token
from ggez_hub.hub.jobs import LABEL, UNFINISHED, prices
from ggez_hub.hub.shared_folders import SharedFolders
from ggez_hub.retry import with_retries

if TYPE_CHECKING:
    from huggingface_hub import JobInfo

IMAGE, INSTALLED = "GGEZ_JOBS_IMAGE", "GGEZ_JOBS_INSTALL"
# What it runs as is in the environment, not in the script.
SCRIPT = 'python -m pip install --quiet "$GGEZ_INSTALL" && exec python -m ggez_hub.hub.job_tasks'
# How often a share is started whose job ends without an answer.
ATTEMPTS = 3
SHORTEST_POLL, LONGEST_POLL = 0.2, 20.0
LONGEST_JOB, SHORTEST_JOB = 24 * 3600, 60


@dataclass
class JobBudget:
    """The dollars that are left for jobs; those of several measurements may come from one."""

    left: float


def price_of(hub: Hub, machine: str) -> float:
    """Dollars an hour of a machine; raises UsageProblem for an unknown one."""
    known = prices(hub)
    if machine not in known:
        raise UsageProblem(
            f"{machine!r} is not a machine of {hub.endpoint} with a price",
            f"One of {', '.join(sorted(known))}.",
        )
    return known[machine]


class HubJobs:
    """Jobs on machines of one kind, `workers` at once, that cost no more than a budget has left.

    extras  of this package, that a job installs
    shared  is what tasks read and write
    inputs  are folders and files that they only read: they are sent as they are now, and not fetched

    A job is stopped when its part of what is left of the budget is used up, so that all of them
    together cannot cost more. Raises UsageProblem for an unknown machine, and what the client raises.
    """

    def __init__(
        self,
        hub: Hub,
        machine: str,
        workers: int,
        budget: JobBudget,
        extras: str,
        shared: Sequence[SharedFolder],
        inputs: Sequence[Path] = (),
    ) -> None:
        require_token(hub)
        self._hub, self._machine, self.workers = hub, machine, workers or 1
        self._price, self._budget, self._extras = price_of(hub, machine), budget, extras
        self._namespace = str(hub.api.whoami()["name"])
        about = [(str(each.folder), *each.parts) for each in shared]
        name = hashlib.sha256(repr(about[0]).encode()).hexdigest()[:12]
        self._repo = f"{self._namespace}/ggez-work-{name}"
        self._folders = {str(n): each for n, each in enumerate(shared)}
        self._inputs = {f"input-{n}": SharedFolder.holding(i) for n, i in enumerate(inputs)}
        self._has_sent = not inputs
        self._moves = {str(each.folder): name for name, each in self._folders.items()} | {
            str(each.folder / part): str(Path(name, part))
            for name, each in self._inputs.items()
            for part in each.parts
        }
        ensure_repo(hub, self._repo, private=True, repo_type="dataset")
        self._shared = SharedFolders(hub.api, self._repo, self._folders)
        # Those of a command that was killed.
        self._wait(self._unfinished())
        self._shared.pull()

    def run(self, task: Marked, numbers: Sequence[int], device: str = "") -> Generator[int]:
        batch, left = Batch.beside(task.markers), set(numbers)
        left -= yield from self._done(task.markers, left)
        for _ in range(ATTEMPTS):
            if not left:
                return
            shares = min(len(left), self.workers)
            seconds = self._seconds(shares)
            batch.write(task, sorted(left), shares)
            self._shared.push()
            if not self._has_sent:
                SharedFolders(self._hub.api, self._repo, self._inputs).push_all()
                self._has_sent = True
            try:
                jobs = [self._start(batch, share, seconds) for share in range(shares)]
                self._wait(jobs)
            finally:
                self._stop()
            self._shared.pull()
            left -= yield from self._done(task.markers, left)
            urls = [job.url for job in jobs]
            batch.raise_first(lambda number, urls=urls: urls[batch.share(number)])  # type: ignore[misc]
        if left:
            lost = WorkerLost(min(left))
            lost.add_note(f"log: {urls[batch.share(min(left))]}")
            raise lost

    def _done(self, markers: Path, left: set[int]) -> Generator[int, None, set[int]]:
        done = left & {int(path.name) for path in markers.iterdir() if path.name.isdecimal()}
        yield from sorted(done)
        return done

    def _seconds(self, jobs: int) -> int:
        """How long each of some jobs may run; raises EngineFailed if that is too short."""
        most = LONGEST_JOB if not self._price else 3600 * self._budget.left / (self._price * jobs)
        if most < SHORTEST_JOB:
            raise EngineFailed(
                f"${self._budget.left:.2f} of the budget are left, too little for {jobs} of {self._machine}"
            )
        return int(min(most, LONGEST_JOB))

    def _start(self, batch: Batch, share: int, seconds: int) -> JobInfo:
        version = f"ggez-hub[{self._extras}]=={ggez_hub.__version__}"
        order = {
            "repo": self._repo,
            "parts": {name: each.parts for name, each in self._folders.items()},
            "inputs": {name: each.parts for name, each in self._inputs.items()},
            "moves": self._moves,
            "batch": str(batch.folder),
            "share": share,
        }
        return self._hub.api.run_job(
            image=os.environ.get(IMAGE, "python:3.12"),
            command=["bash", "-c", SCRIPT],
            env={
                "GGEZ_INSTALL": os.environ.get(INSTALLED, version),
                "GGEZ_SHARE": json.dumps(order),
            },
            secrets={"HF_TOKEN": self._hub.token},
            flavor=self._machine,
            timeout=seconds,
            labels=self._labels,
            namespace=self._namespace,
        )

    @property
    def _labels(self) -> dict[str, str]:
        return {**LABEL, "work": self._repo.rpartition("-")[2]}

    def _unfinished(self) -> list[JobInfo]:
        found = with_retries(
            lambda: list(self._hub.api.list_jobs(namespace=self._namespace, labels=self._labels))
        )
        return [job for job in found if job.status.stage in UNFINISHED]

    def _wait(self, jobs: Sequence[JobInfo]) -> None:
        """Wait for the end of jobs, and take what they cost from the budget."""
        running, pause = {job.id for job in jobs}, SHORTEST_POLL
        while running:
            for name in sorted(running):
                look = partial(self._hub.api.inspect_job, job_id=name, namespace=self._namespace)
                seen = with_retries(look)
                if seen.status.stage not in UNFINISHED:
                    running.remove(name)
                    used = (seen.durations.running_secs or 0) if seen.durations else 0
                    self._budget.left -= self._price * used / 3600
            if running:
                time.sleep(pause)
                pause = min(1.5 * pause, LONGEST_POLL)

    def _stop(self) -> None:
        for job in self._unfinished():
            self._hub.api.cancel_job(job_id=job.id, namespace=self._namespace)

    def close(self) -> None:
        """The data set stays, so that an interrupted command can go on."""


def run_share(order: dict[str, Any], here: Path, hub: Hub) -> int:
    """What a job does: fetch the folders into `here`, run a share, send what it changed."""
    # The longest first: an input may be in the folder of another.
    old = sorted(order["moves"], key=len, reverse=True)
    moves = {each: str(here / order["moves"][each]) for each in old}

    def folders(which: str) -> SharedFolders:
        places = {name: SharedFolder(here / name, tuple(p)) for name, p in order[which].items()}
        for place in places.values():
            place.folder.mkdir(parents=True, exist_ok=True)
        return SharedFolders(hub.api, order["repo"], places)

    shared = folders("parts")
    shared.pull()
    folders("inputs").pull()
    folder = moved(order["batch"], moves)
    # In a process of its own: if a task ends it, what was done before is sent all the same.
    command = [sys.executable, "-m", "ggez_hub.execution", folder, str(order["share"])]
    done = subprocess.run([*command, json.dumps(moves)], check=False)
    shared.push()
    return done.returncode


if __name__ == "__main__":
    sys.exit(
        run_share(
            json.loads(os.environ["GGEZ_SHARE"]), Path("shared").absolute(), Hub.of_environment()
        )
    )
