"""The budget: prices and the month's bill come from the Hub, and what is not known starts nothing."""

from __future__ import annotations

import datetime
import socket
from contextlib import contextmanager
from threading import Thread

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from ggez_hub.automation.budget import Budget, read_budget
from ggez_hub.automation.cost import (
    RUNNER,
    Cost,
    bill_before,
    count_answers,
    hours_of,
    require_money,
)
from ggez_hub.automation.stale_results import AcceptedCard, DeviceCost, Limit, StalePlan, within
from ggez_hub.automation.task_costs import TaskCost
from ggez_hub.errors import GateFailed
from ggez_hub.hub import Hub
from ggez_hub.hub.jobs import Spent, prices, spent
from tests.automation.runner import PROJECT

TODAY = datetime.date(2026, 11, 24)
BUDGET = Budget(
    kind="budget", monthly_usd=10, hours=2, namespace="us", machines={"vlm": "a100"},
    image="python:3.11", results="us/results",
)  # fmt: skip


def job(number, created, seconds, flavor="a100", stage="COMPLETED"):
    return {
        "id": str(number), "createdAt": created, "flavor": flavor, "labels": {"app": "ggez-hub"},
        "status": {"stage": stage}, "owner": {"id": "1", "name": "us", "type": "org"},
        "durations": {"scheduling_secs": 1, "running_secs": seconds, "total_secs": seconds + 1},
    }  # fmt: skip


@contextmanager
def serving(jobs):
    """HF Jobs, as far as it is asked: machines with prices, and a list of jobs."""
    machine = {
        "name": "a100", "prettyName": "A100", "cpu": "12", "ram": "142 GB",
        "unitCostMicroUSD": 50_000, "unitCostUSD": 0.05, "unitLabel": "minute",
    }  # fmt: skip
    app = Starlette(
        routes=[
            Route("/api/jobs/hardware", lambda request: JSONResponse([machine])),
            Route("/api/jobs/us", lambda request: JSONResponse(jobs)),
        ]
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield Hub(f"http://127.0.0.1:{listener.getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join(timeout=120)
        listener.close()


def test_the_bill_is_of_this_month_and_by_todays_prices():
    jobs = [
        job(1, "2026-11-03T10:00:00.000Z", 3600),
        job(2, "2026-11-23T10:00:00.000Z", 1800),
        job(3, "2026-10-31T23:59:59.000Z", 36000),
    ]
    with serving(jobs) as hub:
        priced = prices(hub)
        assert priced == {"a100": pytest.approx(3.0)}
        assert spent(hub, "us", priced, TODAY, 2) == Spent(pytest.approx(4.5), jobs=2, unpriced=0)


def test_a_job_that_runs_counts_for_all_its_hours():
    with serving([job(1, "2026-11-24T10:00:00.000Z", 60, stage="RUNNING")]) as hub:
        assert spent(hub, "us", {"a100": 3.0}, TODAY, 2).usd == pytest.approx(6.0)


def test_of_jobs_of_the_same_moment_each_counts_those_before_it():
    """Two runs saw the same money: the second of their jobs does not go on."""
    created = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%S.000Z}"
    running = [job(n, created, 60, stage="RUNNING") for n in (2, 1)]
    with serving(running) as hub:
        second, first = hub.api.list_jobs(namespace="us")
        assert bill_before(first, hub, BUDGET) == Spent(0, 0, 0)
        assert bill_before(second, hub, BUDGET) == Spent(pytest.approx(6.0), 1, 0)
        require_money([costing(6.0)], BUDGET, bill_before(first, hub, BUDGET))
        with pytest.raises(GateFailed, match=r"\$6.00 is needed, \$4.00"):
            require_money([costing(6.0)], BUDGET, bill_before(second, hub, BUDGET))


def test_a_machine_without_a_price_is_counted():
    with serving([job(1, "2026-11-03T10:00:00.000Z", 60, "gone")]) as hub:
        assert spent(hub, "us", {"a100": 3.0}, TODAY, 2).unpriced == 1


def costing(usd, where="hf-jobs"):
    return Cost("cards/x.md", 1, 1, where, "a100", 100, None, 2, usd, "merged")


def planned(name, *devices):
    found = tuple(DeviceCost(machine, hours, usd, measured=True) for machine, hours, usd in devices)
    return StalePlan(AcceptedCard(name, is_stale=True, why=""), costing(1.0), found)


@pytest.mark.parametrize(
    ("limit", "device", "taken", "reason"),
    [
        (Limit(), None, "abc", None),
        (Limit(hours=5), None, "ac", "is beyond the budget: up to 4 hours on a100"),
        (Limit(hours=4), "t4", "a", "what it takes on t4 is not known"),
        (Limit(usd=9), None, "ab", None),
        (Limit(usd=8.9), None, "a", "is beyond the budget: up to $6.00 on a100"),
        (Limit(hours=0), None, "", "is beyond the budget: up to 4 hours on a100"),
    ],
)
def test_what_a_budget_measures(limit, device, taken, reason):
    """By the higher estimate; what fits after a card that does not is measured."""
    plans = [
        planned("a", ("a100", (1, 2), (2.0, 3.0)), ("t4", (3, 4), None)),
        planned("b", ("a100", (1, 4), (2.0, 6.0))),
        planned("c", ("a100", (1, 3), None)),
    ]
    found, left = within(plans, limit, device)
    assert "".join(each.card.path for each in found) == taken
    assert {each.card.path for each in plans} - {*taken} == left.keys()
    assert left.get("b") == reason


def test_a_card_whose_cost_is_not_known_is_not_measured():
    unknown = StalePlan(AcceptedCard("a", is_stale=True, why=""), None, (), "its base is gone")
    assert within([unknown], Limit(), None) == ([], {"a": "its base is gone"})


def test_what_the_month_has_left_is_enough():
    require_money([costing(6.0)], BUDGET, Spent(4.0, 1, 0))
    require_money([costing(0.0, "runner")], BUDGET, None)


@pytest.mark.parametrize(
    ("costs", "spent", "message"),
    [
        ([costing(6.0)], Spent(4.01, 1, 0), r"up to \$6.00 is needed, \$5.99 of this month's"),
        ([costing(3.0), costing(4.0)], Spent(4.0, 1, 0), r"up to \$7.00"),
        ([costing(None)], Spent(0, 0, 0), "not known"),
        ([costing(1.0)], None, "not known"),
        ([costing(1.0)], Spent(0, 1, 1), "not known"),
    ],
)
def test_more_than_that_or_the_unknown_starts_nothing(costs, spent, message):
    with pytest.raises(GateFailed, match=message) as refused:
        require_money(costs, BUDGET, spent)
    assert refused.value.exit_code == 3


def test_the_registrys_budget_can_be_read():
    budget = read_budget(PROJECT)
    assert budget.machines.keys() == {"embedding", "diffusion", "vlm"}
    # The slower it can be, the longer: a base of 10 MB, 100,000 answers.
    shortest, longest = hours_of(10**7, 10**5, RUNNER, "embedding", budget)
    assert 0 < shortest < longest


def test_hours_are_a_range_where_such_a_machine_was_measured_and_else_not_known():
    speed = {"least": 2, "most": 8, "source": "measured at home"}
    budget = Budget.model_validate(BUDGET.model_dump() | {"speeds": {"a100": {"vlm": speed}}})
    # 8 GB of weights for each of 3,600 answers: 28,800 in all.
    assert hours_of(8 * 10**9, 3600, "a100", "vlm", budget) == (1.0, 4.0)
    assert hours_of(8 * 10**9, 3600, "t4", "vlm", budget) is None
    assert hours_of(8 * 10**9, 3600, "a100", "diffusion", budget) is None
    assert hours_of(8 * 10**9, None, "a100", "vlm", budget) is None


def test_a_task_says_what_its_sample_shows_and_what_is_lacking():
    cvqa = TaskCost("cvqa", "global", 10374, 1960, 1960, 1.9999, 5880)
    assert str(cvqa) == (
        "cvqa (global): at most 1,960 items of the test side, which show a difference of 2.0 points"
    )
    flickr = TaskCost("flickr30k", "global", 1000, 667, 1960, 3.42, 1000)
    assert str(flickr).endswith("a difference of 3.4 points; 1,960 are wanted")
    demo = TaskCost("emoji", "regional", 2736, None, None, None, 2736)
    assert str(demo) == "emoji (regional): 2,736 items, all of them asked"
    unknown = TaskCost("csv", "global", None, None, None, None, None)
    assert "is not known before it is fetched" in str(unknown)
    assert count_answers([cvqa, flickr], 7) == 7 * 6880
    assert count_answers([cvqa, unknown], 7) is None


def test_of_the_registrys_machines_hours_are_known_by_arithmetic_where_nobody_measured():
    budget = read_budget(PROJECT)
    for family, machine in budget.machines.items():
        assert not budget.speed(machine, family).measured
        shortest, longest = hours_of(7 * 10**9, 20_000, machine, family, budget)
        assert 0 < shortest < longest
    assert budget.speed(RUNNER, "embedding").measured
