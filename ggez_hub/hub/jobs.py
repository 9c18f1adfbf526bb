"""HF Jobs: what a machine costs, what this month's jobs have cost, and running one to its end."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ggez_hub.errors import GgezError
from ggez_hub.hub.client import Hub
from ggez_hub.retry import with_retries

if TYPE_CHECKING:
    from huggingface_hub import JobInfo

# It distinguishes our jobs from others of the namespace.
LABEL = {"app": "ggez-hub"}
HOURS = {"second": 1 / 3600, "minute": 1 / 60, "hour": 1.0}
UNFINISHED = frozenset({"SCHEDULING", "RUNNING"})
LONGEST_POLL = 30.0  # seconds
# Beside its own hours a job may wait so long for its machine.
QUEUE_HOURS = 1.0
LOG_LINES = 20


@dataclass(frozen=True)
class Spent:
    """Dollars of this month's jobs; `unpriced` counts those whose machine has no price any more."""

    usd: float
    jobs: int
    unpriced: int


@dataclass(frozen=True)
class JobRequest:
    """A job to run.

    key      what it is for: a job with the same key that has not ended is this one
    command  what runs in `image`; strangers' text belongs into `env`
    secrets  environment variables that the Hub keeps encrypted
    hours    after which the Hub stops it
    """

    namespace: str
    key: str
    image: str
    command: tuple[str, ...]
    machine: str
    hours: float
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


def prices(hub: Hub) -> dict[str, float]:
    """Dollars an hour of each machine, as of today; raises what the client raises."""
    return {
        hardware.name: hardware.unit_cost_usd / HOURS[hardware.unit_label]
        for hardware in hub.api.list_jobs_hardware()
        if hardware.unit_label in HOURS
    }


def spent(
    hub: Hub,
    namespace: str,
    priced: Mapping[str, float],
    today: datetime.date,
    hours: float,
    before: JobInfo | None = None,
) -> Spent:
    """What our jobs of `today`'s month (UTC) cost; one that has not ended counts for all its `hours`.

    With `before` those alone that were made before this one.
    """
    usd, count, unpriced = 0.0, 0, 0
    for job in hub.api.list_jobs(namespace=namespace, labels=LABEL):
        created = job.created_at
        if before is not None and not _order(job) < _order(before):
            continue
        if not created or (created.year, created.month) != (today.year, today.month):
            continue
        count += 1
        used = (job.durations.running_secs or 0) / 3600 if job.durations else 0.0
        if job.status.stage in UNFINISHED:
            used = max(used, hours)
        if job.flavor is not None and job.flavor in priced:
            usd += priced[job.flavor] * used
        else:
            unpriced += 1
    return Spent(usd, count, unpriced)


def _order(job: JobInfo) -> tuple[float, str]:
    """Which of two jobs was made first: one rule for all who compare them."""
    return job.created_at.timestamp() if job.created_at else 0.0, job.id


def run(
    hub: Hub,
    request: JobRequest,
    say: Callable[[str], None],
    allow: Callable[[JobInfo], None] = lambda _: None,
) -> None:
    """Start a job, or join the one of the same key that has not ended, and wait for its end.

    `allow` is called with a job that was started, and raises if it may not go on: it is cancelled.
    Whoever waits may be stopped and run again: the job continues, and is found. Raises GgezError with
    the end of its log if it fails, and what the client raises.
    """
    labels, namespace = {**LABEL, "key": request.key}, request.namespace
    there = with_retries(lambda: list(hub.api.list_jobs(namespace=namespace, labels=labels)))
    job = next((job for job in there if job.status.stage in UNFINISHED), None)
    verb = "joined" if job else "started"
    # Starting is not tried again by itself: a second attempt could start, and pay, a second job.
    if job is None:
        job = hub.api.run_job(
            image=request.image,
            command=list(request.command),
            env=dict(request.env),
            secrets=dict(request.secrets),
            flavor=request.machine,
            timeout=int(request.hours * 3600),
            labels=labels,
            namespace=namespace,
        )
        try:
            allow(job)
        except BaseException:
            hub.api.cancel_job(job_id=job.id, namespace=namespace)
            raise
    say(f"{verb} {job.url}, at most {request.hours:g} hours")
    _wait(hub, request, job)


def _wait(hub: Hub, request: JobRequest, job: JobInfo) -> None:
    named = {"job_id": job.id, "namespace": request.namespace}
    end = time.monotonic() + (request.hours + QUEUE_HOURS) * 3600
    wait = 1.0
    while True:
        seen = with_retries(lambda: hub.api.inspect_job(**named))
        stage = str(getattr(seen.status.stage, "value", seen.status.stage))
        if stage == "COMPLETED":
            return
        if stage not in UNFINISHED:
            raise GgezError(
                f"{job.url} ended as {stage}: {seen.status.message or 'no reason given'}\n"
                + "\n".join(f"  | {line}" for line in _log(hub, named))
            )
        if time.monotonic() > end:
            hub.api.cancel_job(**named)
            raise GgezError(
                f"{job.url} has not ended in its {request.hours:g} hours: it is stopped"
            )
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_POLL)


def _log(hub: Hub, named: Mapping[str, str]) -> list[str]:
    """The last lines that a job printed; none where the log is not available."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        lines = hub.api.fetch_job_logs(
            job_id=named["job_id"], namespace=named["namespace"], tail=LOG_LINES
        )
        return [line.rstrip() for line in lines][-LOG_LINES:]
    except (HfHubHTTPError, OSError):
        return []
