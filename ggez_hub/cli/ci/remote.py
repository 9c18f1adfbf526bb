"""`ci submit`: an evaluation that is too large for a runner, on HF Jobs."""

from __future__ import annotations

from pathlib import Path

import click

from ggez_hub.cli.ci.answer import answer, folder_of
from ggez_hub.cli.ci.run import checked_cards, order_options, program_commit
from ggez_hub.cli.output import Output, hub_option, output_options


@click.command("submit")
@order_options
@click.option("-o", "--out", "target", required=True, type=click.Path(path_type=Path))
@hub_option
@output_options
def submit_command(
    repository: Path, number: int, base: str, head: str, target: Path, hub: str, out: Output
) -> None:
    """Have HF Jobs measure a pull request, wait for it, and take what it delivered.

    The job runs this program at this commit; every figure that it delivered is recomputed here. Run
    again, it joins the job that is going on, and starts none for what was delivered. Writes what
    `ci evaluate` writes, and ends as it does.
    """
    from ggez_hub.automation.budget import read_budget
    from ggez_hub.automation.cost import costs_of, require_money
    from ggez_hub.automation.decide import Order
    from ggez_hub.automation.delivery import fetch_delivery, recomputed
    from ggez_hub.automation.evaluate import judge
    from ggez_hub.automation.remote import job_order
    from ggez_hub.errors import GgezError
    from ggez_hub.hub import jobs
    from ggez_hub.hubs import connect

    budget, program = read_budget(repository), program_commit(repository)
    with connect(hub, quiet=True) as server:
        cards = checked_cards(repository, number, base, head, server)

        def missing() -> list[str]:
            return [
                card.path
                for card in cards
                if not fetch_delivery(
                    card.document, server, budget.results, folder_of(target, card)
                )
            ]

        if missing():
            costs = costs_of(cards, server, budget)
            require_money(costs.cards, budget, costs.spent)
            order = job_order(Order(number, base, head), costs.cards, program, budget)
            jobs.run(server, order, out.note)
            if still := missing():
                raise GgezError(f"the job has delivered nothing for {', '.join(still)}")
        found = []
        for card in cards:
            place = folder_of(target, card)
            found.append(judge(card, recomputed(card.document, place, repository), place))
    answer(found, head, target, out)
