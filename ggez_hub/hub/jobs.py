"""HF Jobs: what a machine costs, and what this month's jobs have cost."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# Jobs of ours carry it, so that they can be told from others of the namespace.
LABEL = {"app": "ggez-hub"}
HOURS = {"second": 1 / 3600, "minute": 1 / 60, "hour": 1.0}


@dataclass(frozen=True)
class Spent:
    """Dollars of this month's jobs; `unpriced` counts those whose machine has no price any more."""

    usd: float
    jobs: int
    unpriced: int


def prices(api: HfApi) -> dict[str, float]:
    """Dollars an hour of each machine, as the Hub says today; raises what the client raises."""
    return {
        hardware.name: hardware.unit_cost_usd / HOURS[hardware.unit_label]
        for hardware in api.list_jobs_hardware()
        if hardware.unit_label in HOURS
    }


def spent(api: HfApi, namespace: str, priced: Mapping[str, float], today: datetime.date) -> Spent:
    """What our jobs of `today`'s month (UTC) cost, the running ones until now."""
    jobs = [
        job
        for job in api.list_jobs(namespace=namespace, labels=LABEL)
        if job.created_at
        and (job.created_at.year, job.created_at.month) == (today.year, today.month)
    ]
    return _sum(jobs, priced)


def _sum(jobs: Iterable[Any], priced: Mapping[str, float]) -> Spent:
    usd, count, unpriced = 0.0, 0, 0
    for job in jobs:
        count += 1
        seconds = (job.durations.running_secs or 0) if job.durations else 0
        if job.flavor in priced:
            usd += priced[job.flavor] * seconds / 3600
        else:
            unpriced += 1
    return Spent(usd, count, unpriced)
