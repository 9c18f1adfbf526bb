"""`ci authorise`, `plan`, `evaluate`, `submit`, `say`: from `/ggez evaluate` to the comment on it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.ci.workflow import (
    answer,
    checked_cards,
    event_options,
    failure_reason,
    folder_of,
    keep_option,
    order_options,
    output,
    program_commit,
)
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import NEW_FILE, out_option
from ggez_hub.errors import GgezError
from ggez_hub.hub import jobs
from ggez_hub.hub_connection import connect
from ggez_hub.progress import task

if TYPE_CHECKING:
    from ggez_hub.automation.event import Order


# GitHub takes 65,536 characters.
MAX_COMMENT = 60_000

NOTHING = "The evaluation ended without a result: see the run.\n"


@click.command("authorise")
@event_options
@output_options
def authorise_command(repository: Path, event: Path | None, out: Output) -> None:
    """Check who wrote `/ggez evaluate`, and for which commit."""
    from ggez_hub.automation.event import CommentEvent, order, read_event
    from ggez_hub.automation.github import GitHub

    found = order(read_event(CommentEvent, event), GitHub.of_environment())
    for key, value in asdict(found).items():
        output(key, str(value))
    out.line(f"evaluate pull request {found.number} at {found.head}")
    out.document(asdict(found))


@click.command("plan")
@order_options
@hub_option
@output_options
def plan_command(repository: Path, order: Order, hub: str, out: Output) -> None:
    """Print what an evaluation costs in bytes, hours and dollars, and where it runs.

    Ends with 3 if it is over budget.
    Gives `where` to the jobs after it, runner or hf-jobs, or `reason` if it stops them.
    """
    from ggez_hub.automation.budget import read_budget
    from ggez_hub.automation.cost import costs_of, require_money

    budget = read_budget(repository)
    with failure_reason(), connect(hub, quiet=True) as server:
        cards = checked_cards(repository, order, server)
        found = costs_of(cards, server, budget)
    for c in found.cards:
        money = "unknown" if c.usd_at_most is None else f"${c.usd_at_most:.2f}"
        expected = (
            "hours unknown"
            if c.hours is None
            else f"{c.hours[0]:.2g} to {c.hours[1]:.2g} hours "
            + ("expected" if c.hours_measured else "by arithmetic, not measured")
        )
        out.line(
            f"{c.card}: {c.fetch_bytes / 1e6:,.1f} MB to fetch, {c.disk_bytes / 1e6:,.1f} MB of "
            f"disk, {'unknown' if c.answers is None else f'{c.answers:,}'} answers, on {c.machine}, "
            f"{expected}, at most {c.hours_at_most:g} hours and {money}; would publish "
            f"{'the merged model' if c.publishes == 'merged' else 'the adapter form'}"
        )
        for line in (*map(str, c.tasks), *c.differ):
            out.line(f"  {line}")
    out.document({"where": found.where, "costs": [asdict(c) for c in found.cards]})
    with failure_reason():
        require_money(found.cards, budget, found.spent)
    output("where", found.where)


@click.command("evaluate")
@order_options
@out_option()
@click.option("--deliver", metavar="REPO", help="Send the results to a data set too.")
@keep_option
@hub_option
@output_options
def evaluate_command(
    repository: Path,
    order: Order,
    target: Path,
    deliver: str | None,
    keep: Path | None,
    hub: str,
    out: Output,
) -> None:
    """Measure the adapters of a pull request by the registry's tasks, and gate them.

    Writes results, predictions, the measured card and a comment. Ends with 3 if a gate fails. Gives
    `reason` to the jobs after it if it fails.
    """
    from ggez_hub.automation.evaluation import evaluate
    from ggez_hub.automation.remote_evaluation import deliver as send_results

    found = []
    with failure_reason(), connect(hub, quiet=True) as server:
        for card in checked_cards(repository, order, server):
            place = folder_of(target, card)
            kept = None if keep is None else folder_of(keep, card)
            with task(card.name) as measuring:
                evaluator = program_commit(repository)
                found.append(
                    evaluate(
                        card,
                        server,
                        place,
                        evaluator=evaluator,
                        keep=kept,
                        progress=measuring.update,
                    )
                )
            if deliver is not None:
                send_results(card.document, place, server, deliver, kept)
    answer(found, order.head, target, out)


@click.command("say")
@click.option("--number", required=True, type=click.IntRange(min=1))
@click.option("--topic", required=True, help="One comment is kept for each topic.")
@click.option("--file", "path", required=True, type=NEW_FILE)
@click.option("--reason", default="", help="The comment if the file does not exist.")
@click.option(
    "--measured",
    type=NEW_FILE,
    help="The measurements that `ci evaluate` wrote; their number is added to the comment.",
)
@output_options
def say_command(
    number: int, topic: str, path: Path, reason: str, measured: Path | None, out: Output
) -> None:
    """Write, or edit, the comment on a topic under a pull request."""
    from ggez_hub.automation.findings import as_code
    from ggez_hub.automation.github import GitHub
    from ggez_hub.automation.submissions import counts, joined, read_submissions, record

    nothing = f"It is not evaluated: {as_code(reason)}\n" if reason.strip() else NOTHING
    text = path.read_text(encoding="utf-8") if path.is_file() else nothing
    github = GitHub.of_environment()
    said, head = [], ""
    if measured is not None:
        new = read_submissions(measured)
        known = github.submissions(topic)
        # Earlier measurements stay recorded, also if this one failed.
        known[number] = joined(known.get(number, ()), new)
        said = counts(new, known)
        head = f"{record(known[number])}\n"
    tail = "".join(f"\n{line}\n" for line in said)
    github.say(number, topic, f"{head}{text[: MAX_COMMENT - len(head) - len(tail)]}{tail}")
    out.lines(said)
    out.line(f"said under pull request {number}")
    out.document({"number": number, "topic": topic, "measured": said})


@click.command("submit")
@order_options
@out_option()
@hub_option
@output_options
def submit_command(repository: Path, order: Order, target: Path, hub: str, out: Output) -> None:
    """Have HF Jobs measure a pull request, wait for it, and take what it delivered.

    The job runs this program at this commit; every figure that it delivered is recomputed here. Run
    again, it joins the job that is going on, and starts none for what was delivered. Writes what
    `ci evaluate` writes, and ends as it does.
    """
    from ggez_hub.automation.budget import read_budget
    from ggez_hub.automation.cost import bill_before, costs_of, require_money
    from ggez_hub.automation.evaluation import judge
    from ggez_hub.automation.remote_evaluation import fetch_delivery, job_order, recomputed

    budget, program = read_budget(repository), program_commit(repository)
    with connect(hub, quiet=True) as server:
        cards = checked_cards(repository, order, server)

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
            jobs.run(
                server,
                job_order(order, costs.cards, program, budget),
                out.note,
                # Another run may have been started since the money was counted.
                lambda job: require_money(costs.cards, budget, bill_before(job, server, budget)),
            )
            if still := missing():
                raise GgezError(f"the job has delivered nothing for {', '.join(still)}")
        found = []
        for card in cards:
            place = folder_of(target, card)
            found.append(judge(card, recomputed(card.document, place, repository), place))
    answer(found, order.head, target, out)
