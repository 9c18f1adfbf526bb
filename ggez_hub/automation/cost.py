"""What evaluating and publishing a contribution costs, and where it runs, before anything starts.

A job is stopped after the budget's `hours`, so the money is an upper bound; `hours` of a cost are an
estimate.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ggez_hub.automation.budget import GIGABYTE, Budget
from ggez_hub.automation.contribution_rules import ProposedCard
from ggez_hub.automation.suite import AnyTask, SuiteData, suite_of
from ggez_hub.cards import AdapterCard
from ggez_hub.errors import GateFailed
from ggez_hub.evaluation.benchmarks.task import DrawingTask
from ggez_hub.hub import Hub
from ggez_hub.hub.jobs import Spent, prices, spent
from ggez_hub.registry.adapter_kinds import get_kind
from ggez_hub.registry.file_checks import vet_adapter, vet_base

# Of the registry's own data so much is fetched to count its items.
MOST_DATA = 100_000_000


def count_answers(data: SuiteData, betas: int) -> int | None:
    """How many answers the tasks ask for at so many betas; None for more data than is fetched.

    A drawing is an answer. Raises what the hub raises.
    """
    if data.nbytes > MOST_DATA:
        return None
    from pyarrow.parquet import read_metadata

    folders = {repo: data.listed[repo].fetch(data.hub) for repo in data.asked_about}
    return betas * sum(
        read_metadata(folders[task.dataset.repo] / path).num_rows * _times(task)
        for task in data.tasks
        for path in task.splits.values()
    )


def _times(task: AnyTask) -> int:
    """How often each item is asked about."""
    return task.drawing.seeds if isinstance(task, DrawingTask) else 1


def hours_of(
    base_bytes: int, answers: int | None, machine: str, family: str, budget: Budget
) -> tuple[float, float] | None:
    """The fewest and the most hours of measuring; None where no such machine was measured."""
    speed = budget.speeds.get(machine, {}).get(family)
    if speed is None or answers is None:
        return None
    work = base_bytes / GIGABYTE * answers
    return work / speed.most / 3600, work / speed.least / 3600


Where = Literal["runner", "hf-jobs"]
RUNNER = "ubuntu-latest"


class OverBudget(GateFailed):
    """The month's money, or the largest machine, does not reach."""


@dataclass(frozen=True)
class Cost:
    """Bytes, hours and dollars of one card; None where it is not known.

    `hours` are the fewest and the most that measuring is expected to take, without fetching and
    installing; `publishes` is what will be pushed after the card is accepted: merged weights or the adapter form.
    """

    card: str
    fetch_bytes: int
    disk_bytes: int
    where: Where
    machine: str
    answers: int | None
    hours: tuple[float, float] | None
    hours_at_most: float
    usd_at_most: float | None
    publishes: Literal["merged", "adapter"]

    def as_dict(self) -> dict[str, Any]:
        """The cost as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Costs:
    """What the cards of a contribution cost, and what this month's jobs have cost so far."""

    cards: tuple[Cost, ...]
    spent: Spent | None

    @property
    def where(self) -> Where:
        """Where the contribution is measured: one card for HF Jobs takes the others with it."""
        return "hf-jobs" if any(c.where == "hf-jobs" for c in self.cards) else "runner"


def costs_of(cards: Sequence[ProposedCard], hub: Hub, budget: Budget) -> Costs:
    """What measuring cards costs; the Hub is asked for prices and the bill only if jobs are needed.

    Raises as `cost`.
    """
    found = [cost(card.path, card.document.card, hub, budget, None) for card in cards]
    if not any(c.where == "hf-jobs" for c in found):
        return Costs(tuple(found), None)
    priced = prices(hub)
    found = [cost(card.path, card.document.card, hub, budget, priced) for card in cards]
    bill = spent(hub, budget.namespace, priced, this_month(), budget.hours)
    return Costs(tuple(found), bill)


def cost(
    path: str, card: AdapterCard, hub: Hub, budget: Budget, priced: Mapping[str, float] | None
) -> Cost:
    """What measuring and publishing a card costs.

    Raises OverBudget for a base that is never measured, NoTasks, NotFit, and what the hub raises.
    """
    suite, tasks = suite_of(card)
    location = card.adapter
    assert location is not None  # noqa: S101 - check_card has asked for it
    adapter = vet_adapter(hub.at_commit(location.repo, location.revision), card, hub)
    base = vet_base(hub.at_commit(card.base.repo, card.base.revision), card, hub)
    data = SuiteData.of(tasks, hub)
    base_bytes = sum(file.size for file in base)
    if base_bytes > budget.largest_gb * GIGABYTE:
        raise OverBudget(
            f"{path}: a base of {base_bytes / GIGABYTE:,.1f} GB is larger than what is measured here "
            f"({budget.largest_gb:g} GB)",
            "Raise largest_gb in .github/budget.yaml, and name a machine that takes it.",
        )
    fetch = base_bytes + sum(f.size for f in adapter)
    fetch += data.nbytes
    answers = count_answers(data, len({0.0, *suite.betas}))
    here = budget.on_runner(base_bytes)
    machine = RUNNER if here else budget.machines.get(card.family, "unknown")
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
        answers=answers,
        hours=hours_of(base_bytes, answers, machine, card.family, budget),
        hours_at_most=budget.hours,
        usd_at_most=usd,
        publishes="merged" if may_be_merged(card, base_bytes, budget) else "adapter",
    )


def may_be_merged(card: AdapterCard, base_bytes: int, budget: Budget) -> bool:
    """Whether merged weights are published unasked: they are small, or there is no other form."""
    small = base_bytes < budget.merged_gb * GIGABYTE
    return small or not get_kind(card.kind).combined


def require_money(costs: Iterable[Cost], budget: Budget, bill: Spent | None) -> None:
    """Raise OverBudget if what the jobs may cost is not known or not there."""
    jobs = [c for c in costs if c.where == "hf-jobs"]
    if not jobs:
        return
    if bill is None or bill.unpriced or any(c.usd_at_most is None for c in jobs):
        raise OverBudget(
            "what these jobs or this month's jobs cost is not known: nothing is started",
            "The token has to read the jobs of the namespace, and the machine to have a price.",
        )
    needed = sum(c.usd_at_most or 0.0 for c in jobs)
    left = budget.monthly_usd - bill.usd
    if needed > left:
        raise OverBudget(
            f"up to ${needed:.2f} is needed, ${left:.2f} of this month's ${budget.monthly_usd:.2f} "
            "are left",
            "Wait for the next month, or raise monthly_usd in .github/budget.yaml.",
        )


def this_month() -> datetime.date:
    """Today in UTC."""
    return datetime.datetime.now(datetime.UTC).date()
