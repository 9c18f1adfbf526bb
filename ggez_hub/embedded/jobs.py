"""Jobs of the hub, as processes of this machine and of this user: for tests, and for those one trusts.

A job can read and write what the hub's own process can. Its image is not looked at: commands are those of
this machine, and `python` is the one that runs the hub. A job's folder goes with its processes when it ends;
jobs are forgotten when the hub ends, and stopped.
"""

from __future__ import annotations

import datetime
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import BoundedSemaphore, Lock, Thread
from typing import Literal

from ggez_hub.embedded.errors import InvalidRequestError, JobNotFoundError

Stage = Literal["SCHEDULING", "RUNNING", "COMPLETED", "ERROR", "CANCELED"]
UNFINISHED = frozenset({"SCHEDULING", "RUNNING"})
# As the Hub's, if a job does not say.
SECONDS = 30 * 60
# How many lines of a log are kept, and characters; a line that is longer is several.
MOST_LINES, MOST_CHARACTERS, LONGEST_LINE = 100_000, 16 << 20, 16 << 10
MOST_JOBS = 10_000
# How long the log of a job that has ended is waited for: something may hold it that left the job's processes.
LAST_LINES = 2.0


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True)
class Machine:
    """A kind of machine, with what a minute of it would cost."""

    name: str = "cpu-basic"
    usd_a_minute: float = 0.0


@dataclass(frozen=True)
class JobOrder:
    """What to run, for whom. Secrets are variables of the environment too, and shown to nobody."""

    owner: str
    is_org: bool
    by: str
    image: str
    command: tuple[str, ...]
    machine: str
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    seconds: int = SECONDS


@dataclass(frozen=True)
class JobState:
    """How far a job is, at one moment. `message` says why it failed."""

    stage: Stage = "SCHEDULING"
    message: str | None = None
    started: datetime.datetime | None = None
    finished: datetime.datetime | None = None

    @property
    def is_finished(self) -> bool:
        return self.stage not in UNFINISHED


@dataclass
class Job:
    """A job. `log` is lines with the times at which they came.

    `state` is replaced as one value: who reads it from another thread sees no half of a change.
    """

    order: JobOrder
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:24])
    created: datetime.datetime = field(default_factory=_now)
    state: JobState = JobState()
    log: list[tuple[datetime.datetime, str]] = field(default_factory=list, repr=False)
    process: subprocess.Popen[str] | None = field(default=None, repr=False)


class JobRunner:
    """The jobs of a hub, each with a folder of its own in `folder`; as many at once as there are processors.

    `environment` is what each finds besides its own variables.
    """

    def __init__(
        self,
        folder: Path,
        machines: Collection[Machine] = (Machine(),),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.machines = machines
        self._folder = folder
        self._environment = environment or {}
        self._jobs: dict[str, Job] = {}
        self._room = BoundedSemaphore(os.cpu_count() or 1)
        self._lock = Lock()

    def start(self, order: JobOrder, endpoint: str) -> Job:
        """Start a job, whose hub is at `endpoint`; raises InvalidRequestError for an unknown machine."""
        names = [machine.name for machine in self.machines]
        if order.machine not in names:
            raise InvalidRequestError(f"no machine {order.machine!r} here: {', '.join(names)}")
        job = Job(order)
        with self._lock:
            if len(self._jobs) >= MOST_JOBS:
                raise InvalidRequestError("this hub remembers no more jobs: start it again")
            self._jobs[job.id] = job
        Thread(target=self._run, args=(job, endpoint), daemon=True).start()
        return job

    def find(self, namespace: str, name: str) -> Job:
        """A job of a namespace; raises JobNotFoundError."""
        job = self._jobs.get(name)
        if job is None or job.order.owner.lower() != namespace.lower():
            raise JobNotFoundError(name)
        return job

    def jobs(self, namespace: str) -> list[Job]:
        """The jobs of a namespace, newest first."""
        owned = [j for j in self._jobs.values() if j.order.owner.lower() == namespace.lower()]
        return owned[::-1]

    def cancel(self, job: Job) -> None:
        """Stop a job with all its processes, if it has not ended."""
        self._end(job, "CANCELED", None)

    def close(self) -> None:
        """Stop all jobs, and remove their folders."""
        for job in list(self._jobs.values()):
            self.cancel(job)
            shutil.rmtree(self._folder / job.id, ignore_errors=True)

    def _run(self, job: Job, endpoint: str) -> None:
        with self._room:
            folder = self._folder / job.id
            try:
                folder.mkdir(parents=True)
                with self._lock:
                    if job.state.is_finished:
                        return
                    job.process = subprocess.Popen(
                        job.order.command,
                        cwd=folder,
                        env=self._variables(job, folder, endpoint),
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        encoding="utf-8",
                        errors="replace",
                        start_new_session=True,
                    )
                    job.state = JobState("RUNNING", started=_now())
                self._follow(job, job.process)
            except OSError as error:
                self._end(job, "ERROR", f"{error.strerror}: {error.filename}")
            except ValueError as error:  # NUL in a word, or a name of a variable with "="
                self._end(job, "ERROR", str(error))
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def _follow(self, job: Job, process: subprocess.Popen[str]) -> None:
        reading = Thread(target=_read, args=(job, process), daemon=True)
        reading.start()
        try:
            code = process.wait(job.order.seconds)
            message = f"exit code {code}" if code else None
        except subprocess.TimeoutExpired:
            message = "Job timeout"
        # What it started and left would go on, and holds the log.
        _kill(process)
        process.wait()
        reading.join(LAST_LINES)
        self._end(job, "ERROR" if message else "COMPLETED", message)

    def _end(self, job: Job, stage: Stage, message: str | None) -> None:
        with self._lock:
            if job.state.is_finished:
                return
            job.state = replace(job.state, stage=stage, message=message, finished=_now())
            if job.process is not None and job.process.poll() is None:
                _kill(job.process)

    def _variables(self, job: Job, folder: Path, endpoint: str) -> dict[str, str]:
        # Not those of the hub, among which may be tokens.
        python = Path(sys.executable).parent
        return {
            "PATH": os.pathsep.join([str(python), os.environ.get("PATH", os.defpath)]),
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "HF_ENDPOINT": endpoint,
            "JOB_ID": job.id,
            **self._environment,
            **job.order.environment,
            **job.order.secrets,
        }


def _kill(process: subprocess.Popen[str]) -> None:
    """End a process, and those that it started in its session."""
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _read(job: Job, process: subprocess.Popen[str]) -> None:
    """Keep what a process prints, as far as there is room; the rest is read all the same."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    room = MOST_CHARACTERS
    with process.stdout as lines:
        while line := lines.readline(LONGEST_LINE):
            room -= len(line)
            if room >= 0 and len(job.log) < MOST_LINES:
                job.log.append((_now(), line.rstrip("\n")))
