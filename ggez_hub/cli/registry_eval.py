"""`registry eval`: one card, or every accepted one that has no result of what it is now."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cards import read_card
from ggez_hub.cli.ci.workflow import answer, clone_option, keep_option, program_commit
from ggez_hub.cli.engine import SHARDS_OF_A_MODEL, engine_options, on_jobs
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import FILE, NEW_FOLDER, out_option
from ggez_hub.errors import GateFailed, GgezError, UsageProblem
from ggez_hub.execution import Engine
from ggez_hub.hub import Hub
from ggez_hub.hub_connection import connect
from ggez_hub.progress import task
from ggez_hub.quantities import counted

if TYPE_CHECKING:
    from ggez_hub.automation.cost import Cost
    from ggez_hub.automation.evaluation import Division
    from ggez_hub.automation.stale_results import DeviceCost, Limit, StalePlan

# What jobs install.
EXTRAS = "eval"
AMOUNT = re.compile(r"(\d+(?:\.\d+)?)(h|usd)")


@click.command("eval")
@click.argument("card", type=FILE, required=False)
@out_option("A folder for what is measured.", NEW_FOLDER)
@click.option(
    "--stale", is_flag=True, help="Measure every accepted card without a result of what it is now."
)
@click.option("--plan", "only_plan", is_flag=True, help="With --stale: print the plan alone.")
@click.option(
    "--budget",
    metavar="AMOUNT",
    help="The most that it may take by the plan of --stale, hours of a device (`2h`) or dollars (`5usd`); "
    "with jobs:MACHINE, what all jobs together may cost.",
)
@click.option(
    "--device",
    metavar="NAME",
    help="With --stale and --budget: a machine of .github/budget.yaml.  [default: each card's]",
)
@engine_options(SHARDS_OF_A_MODEL, EXTRAS, own_budget=True)
@clone_option
@keep_option
@hub_option
@output_options
def eval_command(
    card: Path | None,
    target: Path,
    stale: bool,
    only_plan: bool,
    budget: str | None,
    device: str | None,
    engine: Engine,
    shards: int | None,
    repository: Path,
    keep: Path | None,
    hub: str,
    out: Output,
) -> None:
    """Measure one card by the registry's tasks, and gate it, as `ci evaluate` does for a pull request.

    Writes results, predictions, the measured card and the comment into the folder. The evaluator that
    the rows name is the commit of the clone. Ends with 3 if a gate fails.

    With --stale instead every active card of the clone is measured that has no result in the index or the
    folder for its adapter, its base, its tasks' data and this program. First
    it prints what that takes. `ci publish --work` with the same folder takes the results. Ends with 3
    if a card is not measured for lack of budget, with 1 if one cannot be.
    """
    from dulwich.errors import NotGitRepository

    from ggez_hub.automation.evaluation import Division

    on_hub = engine.kind == "jobs"
    if stale == (card is not None) or (
        (only_plan or device or (budget and not on_hub)) and not stale
    ):
        raise UsageProblem("name a card, or give --stale; --plan, --budget and --device go with it")
    try:
        evaluator = program_commit(repository)
    except NotGitRepository as error:
        raise UsageProblem(
            f"{repository} is not a clone of the registry", "Give one with --repository."
        ) from error
    limit = _limit(budget)
    if on_hub:
        device = device or engine.address
        engine = on_jobs(engine, limit.usd, EXTRAS, only_plan=only_plan)
    division = Division(engine, shards, hub)
    if card is not None:
        _measure_one(card, target, evaluator, keep, division, repository, out)
        return
    with connect(hub, quiet=True) as server:
        _measure_stale(
            repository, server, target, evaluator, keep, division, limit, device, only_plan, out
        )


def _measure_one(
    card: Path,
    target: Path,
    evaluator: str,
    keep: Path | None,
    division: Division,
    repository: Path,
    out: Output,
) -> None:
    from ggez_hub.automation.budget import read_budget
    from ggez_hub.automation.contribution_rules import ProposedCard
    from ggez_hub.automation.evaluation import evaluate
    from ggez_hub.automation.remote_evaluation import digest_of
    from ggez_hub.automation.stale_results import AcceptedCard, known_prices, plan

    document = read_card(card)
    if document.card.adapter is None:
        raise UsageProblem(
            f"{card} does not name where its adapter is",
            "Add `adapter: {repo, revision}` to its `ggez:` block.",
        )
    proposed = ProposedCard(card.as_posix(), document, None)
    with connect(division.hub, quiet=True) as server, task(card.name) as measuring:
        if division.engine.kind == "jobs":
            asked = [AcceptedCard(proposed.path, is_stale=True, why="", proposed=proposed)]
            spending = read_budget(repository)
            _print_plan(plan(asked, server, spending, known_prices(server, asked)), out)
        found = evaluate(
            proposed,
            server,
            target,
            evaluator=evaluator,
            keep=keep,
            progress=measuring.update,
            division=division,
        )
    answer([found], digest_of(document), target, out)


def _measure_stale(
    repository: Path,
    server: Hub,
    target: Path,
    evaluator: str,
    keep: Path | None,
    division: Division,
    limit: Limit,
    device: str | None,
    only_plan: bool,
    out: Output,
) -> None:
    from ggez_hub.automation.budget import read_budget
    from ggez_hub.automation.stale_results import (
        accepted,
        known_prices,
        measure_cards,
        plan,
        within,
    )

    spending = read_budget(repository)
    if device is not None and device not in spending.speeds:
        raise UsageProblem(f"{device} has no speeds in .github/budget.yaml")
    cards = list(accepted(repository, server, target))
    plans = plan(cards, server, spending, known_prices(server, cards))
    _print_plan(plans, out)
    taken, left = within(plans, limit, device)
    found = {}
    if taken and not only_plan:
        found = measure_cards(
            taken, server, target, evaluator=evaluator, keep=keep, division=division
        )
    rows, document = [], []
    for card in cards:
        result = found.get(card.path)
        state, why = "not measured", left.get(card.path, card.why)
        if isinstance(result, str):
            state, why = "failed", result
        elif result is not None:
            state, why = "measured", f"{card.why}; gates: {result.outcome}"
        elif card.path not in left and card.is_stale:
            state = "to measure"
        rows.append((card.path, state, why))
        document.append({"card": card.path, "state": state, "why": why})
    out.table(("card", "", "why"), rows, figures=False)
    if not plans:
        out.line("Nothing is stale.")
    out.document({"plan": [_as_dict(each) for each in plans], "cards": document})
    if beyond := [path for path, why in left.items() if why.startswith("is beyond")]:
        raise GateFailed(
            f"the budget is too small for {counted(len(beyond), 'card')}: {', '.join(beyond)}",
            "Give more with --budget: what was measured is not measured again.",
        )
    if failed := [*left, *(path for path, result in found.items() if isinstance(result, str))]:
        raise GgezError(
            f"{counted(len(failed), 'card')} could not be measured: {', '.join(failed)}"
        )


def _print_plan(plans: list[StalePlan], out: Output) -> None:
    known = [(each.card.path, each.cost, on) for each in plans if each.cost for on in each.devices]
    rows = [(path, *_figures([(costs, on)])) for path, costs, on in known]
    for machine in dict.fromkeys(on.machine for _, _, on in known):
        own = [(costs, on) for _, costs, on in known if on.machine == machine]
        if len(own) > 1:
            rows.append((counted(len(own), "card"), *_figures(own)))
    if rows:
        columns = ("card", "to fetch", "answers", "device", "hours", "dollars", "")
        out.table(columns, rows, title="What measuring takes, by device")
        out.line("")


def _figures(own: list[tuple[Cost, DeviceCost]]) -> tuple[str, str, str, str, str, str]:
    fetched, answers = (sum(c.fetch_bytes for c, _ in own), sum(c.answers or 0 for c, _ in own))
    hours = [sum(on.hours[side] for _, on in own) for side in (0, 1)]
    priced = [on.usd for _, on in own if on.usd is not None]
    money = "unknown"
    if len(priced) == len(own):
        low, high = (sum(usd[side] for usd in priced) for side in (0, 1))
        money = f"{low:.2f} to {high:.2f}"
    known = "" if all(on.measured for _, on in own) else "by arithmetic, not measured"
    span = f"{hours[0]:.2g} to {hours[1]:.2g}"
    return f"{fetched / 1e6:,.1f} MB", f"{answers:,}", own[0][1].machine, span, money, known


def _as_dict(each: StalePlan) -> dict[str, object]:
    devices = [asdict(on) for on in each.devices]
    costs = each.cost and asdict(each.cost)
    return {"card": each.card.path, "cost": costs, "devices": devices, "problem": each.problem}


def _limit(budget: str | None) -> Limit:
    from ggez_hub.automation.stale_results import Limit

    if budget is None:
        return Limit()
    found = AMOUNT.fullmatch(budget)
    if found is None:
        raise UsageProblem(f"{budget} is not a budget", "Hours as 2h, or dollars as 5usd.")
    amount = float(found[1])
    return Limit(hours=amount) if found[2] == "h" else Limit(usd=amount)
