"""HF Jobs: what a machine costs, what this month's jobs have cost, and running one to its end."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ggez_hub.errors import GgezError
from ggez_hub.retry import with_retries

if TYPE_CHECKING:
    from huggingface_hub import JobInfo

    from ggez_hub.hub.client import Hub

# Jobs of ours carry it, so that they can be told from others of the namespace.
LABEL = {"app": "ggez-hub"}
HOURS = {"second": 1 / 3600, "minute": 1 / 60, "hour": 1.0}
UNFINISHED = frozenset({"SCHEDULING", "RUNNING"})
LONGEST_POLL = 30.0  # seconds
# Beside its own hours a job may wait so long for its machine.
QUEUE_HOURS = 1.0
LOG_LINES = 20


class JobFailed(GgezError):
    """A job did not end as it should; the message has the end of its log."""


@dataclass(frozen=True)
class Spent:
    """Dollars of this month's jobs; `unpriced` counts those whose machine has no price any more."""

    usd: float
    jobs: int
    unpriced: int


@dataclass(frozen=True)
class JobRequest:
    """A job as it is asked for.

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
    """Dollars an hour of each machine, as the Hub says today; raises what the client raises."""
    return {
        hardware.name: hardware.unit_cost_usd / HOURS[hardware.unit_label]
        for hardware in hub._api.list_jobs_hardware()
        if hardware.unit_label in HOURS
    }


def spent(
    hub: Hub,
    namespace: str,
    priced: Mapping[str, float],
    today: datetime.date,
    hours: float,
) -> Spent:
    """What our jobs of `today`'s month (UTC) cost; one that has not ended counts for all its `hours`."""
    jobs = [
        job
        for job in hub._api.list_jobs(namespace=namespace, labels=LABEL)
        if job.created_at
        and (job.created_at.year, job.created_at.month) == (today.year, today.month)
    ]
    return _sum(jobs, priced, hours)


def _sum(jobs: Iterable[Any], priced: Mapping[str, float], hours: float) -> Spent:
    usd, count, unpriced = 0.0, 0, 0
    for job in jobs:
        count += 1
        used = (job.durations.running_secs or 0) / 3600 if job.durations else 0.0
        if job.status.stage in UNFINISHED:
            used = max(used, hours)
        if job.flavor in priced:
            usd += priced[job.flavor] * used
        else:
            unpriced += 1
    return Spent(usd, count, unpriced)


def run(hub: Hub, order: JobRequest, say: Callable[[str], None]) -> None:
    """Start a job, or join the one of the same key that has not ended, and wait for its end.

    Whoever waits may be stopped and run again: the job goes on, and is found. Raises JobFailed, and
    what the client raises.
    """
    labels = {**LABEL, "key": order.key}
    there = with_retries(lambda: list(hub._api.list_jobs(namespace=order.namespace, labels=labels)))
    going = [job for job in there if job.status.stage in UNFINISHED]
    job = going[0] if going else _start(hub, order, labels)
    say(f"{'joined' if going else 'started'} {job.url}, at most {order.hours:g} hours")
    _wait(hub, order, job)


def _start(hub: Hub, order: JobRequest, labels: Mapping[str, str]) -> JobInfo:
    # Not tried again by itself: a second attempt could start, and pay, a second job.
    return hub._api.run_job(
        image=order.image, command=list(order.command), env=dict(order.env),
        secrets=dict(order.secrets), flavor=order.machine, timeout=int(order.hours * 3600),
        labels=dict(labels), namespace=order.namespace,
    )  # fmt: skip


def _wait(hub: Hub, order: JobRequest, job: JobInfo) -> None:
    end = time.monotonic() + (order.hours + QUEUE_HOURS) * 3600
    wait = 1.0
    while True:
        seen = with_retries(lambda: hub._api.inspect_job(job_id=job.id, namespace=order.namespace))
        stage = str(getattr(seen.status.stage, "value", seen.status.stage))
        if stage == "COMPLETED":
            return
        if stage not in UNFINISHED:
            raise JobFailed(
                f"{job.url} ended as {stage}: {seen.status.message or 'no reason given'}\n"
                + "\n".join(f"  | {line}" for line in _log(hub, order, job))
            )
        if time.monotonic() > end:
            hub._api.cancel_job(job_id=job.id, namespace=order.namespace)
            raise JobFailed(f"{job.url} has not ended in its {order.hours:g} hours: it is stopped")
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_POLL)


def _log(hub: Hub, order: JobRequest, job: JobInfo) -> list[str]:
    """The last lines that a job printed; none where the log cannot be had, which is no error."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        lines = hub._api.fetch_job_logs(job_id=job.id, namespace=order.namespace, tail=LOG_LINES)
        return [line.rstrip() for line in lines][-LOG_LINES:]
    except (HfHubHTTPError, OSError):
        return []
