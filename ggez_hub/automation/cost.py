"""What evaluating and publishing a contribution costs, before anything of it starts.

A standard runner of GitHub has room for a model of 5 GB beside its merge; what is larger goes to HF
Jobs, whose prices and whose bill of the month the Hub is asked for. A job is stopped after
`hours`, so the money is an upper bound.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ggez_hub.automation.evaluate import suite_of
from ggez_hub.cards import AdapterCard
from ggez_hub.errors import GateFailed
from ggez_hub.hub import Hub
from ggez_hub.hub.jobs import Spent
from ggez_hub.registry.resolving.vetting import vet_adapter, vet_base

# The base of what a runner with 14 GB of disk can merge: the base, the result, the environment.
RUNNER_BASE_BYTES = 5_000_000_000
# Merged weights above it are published only on request: the adapter form does the same in megabytes.
MERGED_BYTES = 10_000_000_000


class OverBudget(GateFailed):
    """The month's money does not reach."""


class Budget(BaseModel):
    """.github/budget.yaml.

    monthly_usd  what HF Jobs of ours may cost in a month (UTC)
    hours        after which a job is stopped
    namespace    who pays
    machines     family -> the machine on which it is measured
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["budget"]
    monthly_usd: float = Field(ge=0)
    hours: float = Field(gt=0, le=48)
    namespace: str
    machines: Mapping[str, str]


@dataclass(frozen=True)
class Cost:
    """Bytes, hours and dollars of one card; None where the Hub does not say.

    `publishes` is what will be pushed after the card is accepted: merged weights or the adapter form.
    """

    card: str
    fetch_bytes: int
    disk_bytes: int
    where: Literal["runner", "hf-jobs"]
    machine: str
    hours_at_most: float
    usd_at_most: float | None
    publishes: Literal["merged", "adapter"]

    def as_dict(self) -> dict[str, Any]:
        """The cost as JSON."""
        return asdict(self)


def cost(
    path: str, card: AdapterCard, hub: Hub, budget: Budget, priced: Mapping[str, float] | None
) -> Cost:
    """What measuring and publishing a card costs; raises NoTasks, NotFit, and what the hub raises."""
    _, tasks = suite_of(card)
    location = card.adapter
    assert location is not None  # noqa: S101 - check_card has asked for it
    adapter = vet_adapter(hub.at_commit(location.repo, location.revision), card, hub)
    base = vet_base(hub.at_commit(card.base.repo, card.base.revision), card, hub)
    data = hub.at_commit(tasks[0].dataset.repo, tasks[0].dataset.revision, "dataset")
    wanted = {name for task in tasks for name in task.splits.values()}
    base_bytes = sum(file.size for file in base)
    fetch = base_bytes + sum(f.size for f in adapter)
    fetch += sum(file.size for file in data.files if file.path in wanted)
    here = base_bytes <= RUNNER_BASE_BYTES
    machine = "ubuntu-latest" if here else budget.machines.get(card.family, "unknown")
    usd: float | None = 0.0
    if not here:
        hourly = (priced or {}).get(machine)
        usd = None if hourly is None else hourly * budget.hours
    return Cost(
        card=path,
        fetch_bytes=fetch,
        disk_bytes=fetch + base_bytes,
        where="runner" if here else "hf-jobs",
        machine=machine,
        hours_at_most=budget.hours,
        usd_at_most=usd,
        publishes="merged" if base_bytes < MERGED_BYTES else "adapter",
    )


def require_money(costs: list[Cost], budget: Budget, spent: Spent | None) -> None:
    """Raise OverBudget if what the jobs may cost is not known or not there."""
    jobs = [c for c in costs if c.where == "hf-jobs"]
    if not jobs:
        return
    if spent is None or spent.unpriced or any(c.usd_at_most is None for c in jobs):
        raise OverBudget(
            "what these jobs or this month's jobs cost is not known: nothing is started",
            "The token has to read the jobs of the namespace, and the machine to have a price.",
        )
    needed = sum(c.usd_at_most or 0.0 for c in jobs)
    left = budget.monthly_usd - spent.usd
    if needed > left:
        raise OverBudget(
            f"up to ${needed:.2f} is needed, ${left:.2f} of this month's ${budget.monthly_usd:.2f} "
            "are left",
            "Wait for the next month, or raise monthly_usd in .github/budget.yaml.",
        )


def this_month() -> datetime.date:
    """Today in UTC."""
    return datetime.datetime.now(datetime.UTC).date()


def read_budget(repository: Path) -> Budget:
    """The registry's budget; raises BadRecipe."""
    from ggez_hub.recipe_file import read_recipe

    return read_recipe(repository / ".github" / "budget.yaml", "budget", Budget)
