"""What evaluating and publishing a contribution costs, and where it runs, before anything starts.

A job is stopped after the budget's `hours`, so the money is an upper bound; `hours` of a cost are an
estimate.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from huggingface_hub import JobInfo

from ggez_hub.automation.budget import GIGABYTE, Budget
from ggez_hub.automation.card_sources import VettedRepo, adapter_of, base_of
from ggez_hub.automation.contribution_rules import ProposedCard
from ggez_hub.automation.suite import betas_of, safety_of, suite_of
from ggez_hub.automation.suite_models import judge_bytes, methods_of
from ggez_hub.automation.task_costs import TaskCost, task_costs
from ggez_hub.cards import AdapterCard
from ggez_hub.cards.expected import ListedFile, differences
from ggez_hub.errors import GateFailed
from ggez_hub.families import get_family
from ggez_hub.hub import Hub
from ggez_hub.hub.jobs import Spent, prices, spent
from ggez_hub.regions import find_region
from ggez_hub.registry.adapter_kinds import get_kind
from ggez_hub.registry.task_data import TaskData

Where = Literal["runner", "hf-jobs"]
RUNNER = "ubuntu-latest"


@dataclass(frozen=True)
class Cost:
    """Bytes, hours and dollars of one card; None where it is not known.

    `answers` are at most so many. `hours` are the fewest and the most that measuring is expected to
    take, without fetching and installing, by what such a machine was measured to do, or else by
    arithmetic; `tasks` what is asked; `differ` in what the base differs from
    what is expected of it. `publishes` is what will be pushed after the card is accepted: merged weights or the adapter form.
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
    hours_measured: bool = True
    tasks: tuple[TaskCost, ...] = ()
    differ: tuple[str, ...] = ()

    @property
    def base_bytes(self) -> int:
        """The base's, which a merge writes once more."""
        return self.disk_bytes - self.fetch_bytes


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
    """What measuring cards costs; prices and the bill are asked for only if jobs are needed.

    Raises as `cost`.
    """
    found = [cost(card.path, card.document.card, hub, budget, None) for card in cards]
    if not any(c.where == "hf-jobs" for c in found):
        return Costs(tuple(found), None)
    priced = prices(hub)
    found = [cost(card.path, card.document.card, hub, budget, priced) for card in cards]
    today = datetime.datetime.now(datetime.UTC).date()
    bill = spent(hub, budget.namespace, priced, today, budget.hours)
    return Costs(tuple(found), bill)


def bill_before(job: JobInfo, hub: Hub, budget: Budget) -> Spent:
    """What this month's jobs that were made before a job cost: what they have left is the job's.

    Of jobs that were started at the same moment each counts those before it, so that they cannot
    all take the same money.
    """
    today = datetime.datetime.now(datetime.UTC).date()
    return spent(hub, budget.namespace, prices(hub), today, budget.hours, before=job)


def cost(
    path: str, card: AdapterCard, hub: Hub, budget: Budget, priced: Mapping[str, float] | None
) -> Cost:
    """What measuring and publishing a card costs.

    Raises GateFailed for a base or an adapter that is never measured, NotFit, GgezError without tasks, and what the
    hub raises.
    """
    suite, tasks = suite_of(card)
    base, data = base_of(card, hub), TaskData(hub)
    base_bytes, adapter_bytes = base.nbytes, adapter_of(card, hub).nbytes
    data_bytes = data.nbytes(tasks) + judge_bytes(suite, hub)
    for what, nbytes in (("a base", base_bytes), ("an adapter", adapter_bytes)):
        if nbytes > budget.largest_gb * GIGABYTE:
            raise GateFailed(
                f"{path}: {what} of {nbytes / GIGABYTE:,.1f} GB is larger than what is measured here "
                f"({budget.largest_gb:g} GB)",
                "Raise largest_gb in .github/budget.yaml, and name a machine that takes it.",
            )
    fetch = base_bytes + adapter_bytes + data_bytes
    asked = task_costs(suite, tasks, data, methods_of(suite, get_family(card.family)))
    betas = len(betas_of(suite, card))
    answers = count_answers(asked, betas)
    if answers is not None:
        answers += betas * count_safety(card, hub)
    here = budget.on_runner(base_bytes + adapter_bytes)
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
        hours_measured=(speed := budget.speed(machine, card.family)) is None or speed.measured,
        tasks=asked,
        differ=() if card.pinned else tuple(_unexpected(card, base)),
    )


def _unexpected(card: AdapterCard, base: VettedRepo) -> Iterator[str]:
    if card.base.expected is not None:
        listed = {file.path: ListedFile(file.size, file.sha256) for file in base.at.files}
        yield from differences(card.base.expected, base.at.repo, base.at.revision, listed)


def may_be_merged(card: AdapterCard, base_bytes: int, budget: Budget) -> bool:
    """Whether merged weights are published unasked: they are small, or there is no other form."""
    small = base_bytes < budget.merged_gb * GIGABYTE
    return small or not get_kind(card.kind).combined


def require_money(costs: Iterable[Cost], budget: Budget, bill: Spent | None) -> None:
    """Raise GateFailed if what the jobs may cost is not known or not there."""
    jobs = [c for c in costs if c.where == "hf-jobs"]
    if not jobs:
        return
    if bill is None or bill.unpriced or any(c.usd_at_most is None for c in jobs):
        raise GateFailed(
            "what these jobs or this month's jobs cost is not known: nothing is started",
            "The token has to read the jobs of the namespace, and the machine to have a price.",
        )
    needed = sum(c.usd_at_most or 0.0 for c in jobs)
    left = budget.monthly_usd - bill.usd
    if needed > left:
        raise GateFailed(
            f"up to ${needed:.2f} is needed, ${left:.2f} of this month's ${budget.monthly_usd:.2f} "
            "are left",
            "Wait for the next month, or raise monthly_usd in .github/budget.yaml.",
        )


def count_answers(tasks: Sequence[TaskCost], betas: int) -> int | None:
    """How many answers the tasks need at so many betas; None where one of them is not known.

    A drawing is an answer.
    """
    answers = [task.answers for task in tasks]
    return None if None in answers else betas * sum(filter(None, answers))


def count_safety(card: AdapterCard, hub: Hub) -> int:
    """How many prompts of safety a model of the card is asked."""
    prepared, _ = TaskData(hub).prepare(safety_of(card), find_region(card.region))
    return sum(len(asked.items) for task in prepared for asked in task.asked.values())


def hours_of(
    base_bytes: int, answers: int | None, machine: str, family: str, budget: Budget
) -> tuple[float, float] | None:
    """The fewest and the most hours of measuring; None where no such machine was measured.

    Work is the base's bytes for each answer; the budget has the speeds of machines, with sources.
    """
    speed = budget.speed(machine, family)
    if speed is None or answers is None:
        return None
    work = base_bytes / GIGABYTE * answers
    return work / speed.most / 3600, work / speed.least / 3600
