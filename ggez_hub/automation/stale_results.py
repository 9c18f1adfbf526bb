"""Accepted adapters that have no result of what they are now: which, what measuring takes, and doing it.

A result is of an adapter's and a base's weights, of the commits of the tasks' data sets, and of the
program that measured. Nothing is fetched to compare them but results. Data that a task takes from a
branch beside its own data set (pictures, references of a judge) are not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.automation.budget import Budget
from ggez_hub.automation.card_sources import location_of
from ggez_hub.automation.contribution_rules import ProposedCard
from ggez_hub.automation.cost import RUNNER, Cost, cost, hours_of
from ggez_hub.automation.evaluation import Division, Evaluated, evaluate
from ggez_hub.automation.git_changes import import_committed, same_evaluator
from ggez_hub.automation.indexed_cards import IndexedCard, indexed_cards
from ggez_hub.automation.suite import betas_of, suite_of
from ggez_hub.cards import AdapterCard, BadCard, read_card
from ggez_hub.cards.schema import is_adapter
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.errors import UsageProblem, first_line
from ggez_hub.evaluation.models.model_under_test import model_digest
from ggez_hub.evaluation.results.evidence import RESULTS, read_header
from ggez_hub.evaluation.results.header import Header
from ggez_hub.hub import Hub
from ggez_hub.hub.jobs import prices
from ggez_hub.parity.betas import beta_key
from ggez_hub.progress import task
from ggez_hub.registry.task_data import TaskData

# In the folder of the results, as `ci publish --work` has it.
EVIDENCE = "evidence"
EVALUATOR = "evaluator"


@dataclass(frozen=True)
class AcceptedCard:
    """An accepted card: whether it is to be measured, and why, or why not."""

    path: str
    is_stale: bool
    why: str
    proposed: ProposedCard | None = None


@dataclass(frozen=True)
class DeviceCost:
    """Measuring on one device: hours, at least and at most, and dollars; None where not known."""

    machine: str
    hours: tuple[float, float]
    usd: tuple[float, float] | None
    measured: bool


@dataclass(frozen=True)
class StalePlan:
    """A card to measure, its cost, and that on each device whose speed is known; or why not."""

    card: AcceptedCard
    cost: Cost | None
    devices: tuple[DeviceCost, ...]
    problem: str = ""


@dataclass(frozen=True)
class Limit:
    """What may be spent by the plan, in hours of a device or in dollars; None sets none."""

    hours: float | None = None
    usd: float | None = None


def accepted(repository: Path, hub: Hub, out: Path) -> Iterator[AcceptedCard]:
    """The accepted cards of the clone, each with what its index and the folder `out` hold of it.

    Raises UsageProblem where another program measured into `out`.
    """
    noted = out / EVALUATOR
    if noted.is_file() and not same_evaluator(repository, noted.read_text().strip()):
        raise UsageProblem(
            f"{out} holds what another version of the program measured", "Name another folder."
        )
    import_committed(repository)
    indexed, data = indexed_cards(hub), TaskData(hub)
    for place in sorted((repository / "cards").glob("*/*/*.md")):
        path = place.relative_to(repository).as_posix()
        try:
            found = _compared(path, place, indexed.get(path), out, data, repository)
        except BadCard as problem:
            found = AcceptedCard(path, is_stale=False, why=f"cannot be read: {first_line(problem)}")
        # The repository and its files are a stranger's: anything may be raised.
        except Exception as problem:
            found = AcceptedCard(path, is_stale=False, why=first_line(problem))
        yield found


def _compared(
    path: str,
    place: Path,
    known: IndexedCard | None,
    out: Path,
    data: TaskData,
    repository: Path,
) -> AcceptedCard:
    proposed = ProposedCard(path, read_card(place), None)
    card, repo = proposed.document.card, location_of(proposed.document.card).repo
    if card.status.state != "active" or not card.pinned:
        return AcceptedCard(path, is_stale=False, why="is not active, or not pinned yet")
    if not data.hub.exists(repo):
        return AcceptedCard(path, is_stale=False, why=f"{repo} is not on {data.hub.endpoint}")
    results, where = out / EVIDENCE / proposed.name, "this folder"
    if not (results / RESULTS).is_file():
        fetched = known.fetch_results(data.hub, proposed.name) if known else None
        if fetched is None:
            suite_of(card)
            return AcceptedCard(path, is_stale=True, why="has no result yet", proposed=proposed)
        results, where = fetched, "the index"
    why = _difference(results, card, data, repository)
    return AcceptedCard(path, bool(why), why or f"has a result in {where}", proposed)


def _difference(results: Path, card: AdapterCard, data: TaskData, repository: Path) -> str:
    """Why a result is not of what the card is now; empty where it is. Raises GgezError without tasks."""
    (suite, tasks), header = suite_of(card), read_header(results)
    if header.measured_by != "registry" or not same_evaluator(repository, header.evaluator):
        return f"was measured by another program ({header.evaluator[:12]})"
    if header.region != card.region or header.models != _models(
        header, card, betas_of(suite, card)
    ):
        return "was another adapter, or on another base"
    data.nbytes(tasks)
    now = {named.rpartition("@")[0]: commit for named, commit in data.commits.items()}
    for name, record in header.tasks.items():
        if now.get(record.dataset, record.revision) != record.revision:
            return f"was asked other data: {name} of {record.dataset}@{record.revision[:12]}"
    return ""


def _models(header: Header, card: AdapterCard, betas: Sequence[float]) -> dict[str, str]:
    """The digests of the models as the card has them; none if its adapter is not the measured one."""
    if len(header.adapters) != 1 or card.base.weights == UNKNOWN:
        return {}
    files = header.adapters[0].files
    if not is_adapter(files, card.files):
        return {}
    return {beta_key(beta): model_digest(card.base.weights, [files], beta) for beta in betas}


def known_prices(hub: Hub, cards: Iterable[AcceptedCard]) -> Mapping[str, float]:
    """Dollars an hour of the machines of HF Jobs, where a card is to be measured and the hub has some."""
    from huggingface_hub.errors import HfHubHTTPError

    if any(card.is_stale for card in cards):
        with suppress(HfHubHTTPError):
            return prices(hub)
    return {}


def plan(
    cards: Iterable[AcceptedCard], hub: Hub, budget: Budget, priced: Mapping[str, float]
) -> list[StalePlan]:
    """What measuring the stale cards takes; nothing is fetched but small data sets, to count them."""
    found = []
    for card in cards:
        if card.proposed is None or not card.is_stale:
            continue
        try:
            costs = cost(card.path, card.proposed.document.card, hub, budget, priced)
        except Exception as problem:
            found.append(StalePlan(card, None, (), first_line(problem)))
            continue
        family = card.proposed.document.card.family
        on = device_costs(costs.base_bytes, costs.answers, family, budget, priced)
        found.append(StalePlan(card, costs, tuple(on)))
    return found


def device_costs(
    base_bytes: int,
    answers: int | None,
    family: str,
    budget: Budget,
    priced: Mapping[str, float],
) -> Iterator[DeviceCost]:
    """What answering takes on each machine whose speed with the family is known."""
    for machine in budget.speeds:
        speed = budget.speed(machine, family)
        hours = hours_of(base_bytes, answers, machine, family, budget)
        if speed is not None and hours is not None:
            hourly = 0.0 if machine == RUNNER else priced.get(machine)
            usd = None if hourly is None else (hours[0] * hourly, hours[1] * hourly)
            yield DeviceCost(machine, hours, usd, speed.measured)


def within(
    plans: Sequence[StalePlan], limit: Limit, device: str | None
) -> tuple[list[StalePlan], dict[str, str]]:
    """The cards that are measured, in their order, and for the others why not.

    A card counts by the most that it is expected to take on `device`, or else on the machine where
    the registry would measure it.
    """
    hours = usd = 0.0
    taken, left = [], {}
    for each in plans:
        if each.cost is None:
            left[each.card.path] = each.problem
            continue
        machine = device or each.cost.machine
        on = next((d for d in each.devices if d.machine == machine), None)
        if limit != Limit() and (on is None or (limit.usd is not None and on.usd is None)):
            left[each.card.path] = f"what it takes on {machine} is not known"
            continue
        more_hours, more_usd = (on.hours[1], on.usd[1] if on.usd else 0.0) if on else (0.0, 0.0)
        for what, used, most in (
            (f"{more_hours:.2g} hours", hours + more_hours, limit.hours),
            (f"${more_usd:.2f}", usd + more_usd, limit.usd),
        ):
            if most is not None and used > most:
                left[each.card.path] = f"is beyond the budget: up to {what} on {machine}"
        if each.card.path not in left:
            hours, usd = hours + more_hours, usd + more_usd
            taken.append(each)
    return taken, left


def measure_cards(
    plans: Sequence[StalePlan],
    hub: Hub,
    out: Path,
    *,
    evaluator: str,
    keep: Path | None,
    division: Division | None,
) -> dict[str, Evaluated | str]:
    """Measure cards into `out`; of each what came out, or why it could not be measured."""
    found: dict[str, Evaluated | str] = {}
    out.mkdir(parents=True, exist_ok=True)
    (out / EVALUATOR).write_text(evaluator)
    for proposed in (each.card.proposed for each in plans if each.card.proposed):
        place = out / EVIDENCE / proposed.name
        kept = None if keep is None else keep / proposed.name.replace("/", "-")
        try:
            with task(proposed.name) as measuring:
                found[proposed.path] = evaluate(
                    proposed, hub, place, evaluator=evaluator, keep=kept,
                    progress=measuring.update, division=division,
                )  # fmt: skip
        # What a stranger's model does may raise anything; the other cards are measured.
        except Exception as problem:
            found[proposed.path] = first_line(problem)
    return found
