"""`ci authorise`, `plan`, `evaluate`, `say`: from `/ggez evaluate` to a table under it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.ci.workflow import (
    answer,
    checked_cards,
    event_options,
    folder_of,
    keep_option,
    order_options,
    output,
    program_commit,
    reason_told,
)
from ggez_hub.cli.output import Output, hub_option, output_options

# GitHub takes 65,536 characters.
MAX_COMMENT = 60_000
if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

NOTHING = "The evaluation ended without a result: see the run.\n"


@click.command("authorise")
@event_options
@output_options
def authorise_command(repository: Path, event: Path | None, out: Output) -> None:
    """Whether a `/ggez evaluate` comes from somebody who may; the commit that it is for."""
    from ggez_hub.automation.approval import order
    from ggez_hub.automation.event import CommentEvent, read_event
    from ggez_hub.automation.github import GitHub

    ordered = order(read_event(CommentEvent, event), GitHub.of_environment())
    for key, value in (("number", ordered.number), ("base", ordered.base), ("head", ordered.head)):
        output(key, str(value))
    out.line(f"evaluate pull request {ordered.number} at {ordered.head}")
    out.document({"number": ordered.number, "base": ordered.base, "head": ordered.head})


@click.command("plan")
@order_options
@hub_option
@output_options
def plan_command(
    repository: Path, number: int, base: str, head: str, hub: str, out: Output
) -> None:
    """What an evaluation costs in bytes, hours and dollars, and where it runs; over budget ends with 3.

    Gives `where` to the jobs after it, runner or hf-jobs, or `reason` if it stops them.
    """
    from ggez_hub.automation.budget import read_budget
    from ggez_hub.automation.cost import costs_of, require_money
    from ggez_hub.hub_connection import connect

    budget = read_budget(repository)
    with reason_told(), connect(hub, quiet=True) as server:
        cards = checked_cards(repository, number, base, head, server)
        found = costs_of(cards, server, budget)
    for c in found.cards:
        money = "unknown" if c.usd_at_most is None else f"${c.usd_at_most:.2f}"
        expected = "hours unknown" if c.hours is None else f"{_range(c.hours)} hours expected"
        out.line(
            f"{c.card}: {c.fetch_bytes / 1e6:,.1f} MB to fetch, {c.disk_bytes / 1e6:,.1f} MB of "
            f"disk, {'unknown' if c.answers is None else f'{c.answers:,}'} answers, on {c.machine}, "
            f"{expected}, at most {c.hours_at_most:g} hours and {money}; would publish "
            f"{'the merged model' if c.publishes == 'merged' else 'the adapter form'}"
        )
    out.document({"where": found.where, "costs": [c.as_dict() for c in found.cards]})
    with reason_told():
        require_money(found.cards, budget, found.spent)
    output("where", found.where)


def _range(hours: tuple[float, float]) -> str:
    """From the fewest to the most, to two figures."""
    return " to ".join(f"{number:.2g}" for number in hours)


@click.command("evaluate")
@order_options
@click.option("-o", "--out", "target", required=True, type=click.Path(path_type=Path))
@click.option("--deliver", default=None, metavar="REPO", help="Send the results to a data set too.")
@keep_option
@hub_option
@output_options
def evaluate_command(
    repository: Path,
    number: int,
    base: str,
    head: str,
    target: Path,
    deliver: str | None,
    keep: Path | None,
    hub: str,
    out: Output,
) -> None:
    """Measure the adapters of a pull request by the registry's tasks, and gate them.

    Writes results, predictions, the measured card and a comment. Ends with 3 if a gate fails. Gives
    `reason` to the jobs after it if nothing came out.
    """
    from ggez_hub.automation import remote_evaluation
    from ggez_hub.automation.evaluation import evaluate
    from ggez_hub.hub_connection import connect

    found = []
    with reason_told(), connect(hub, quiet=True) as server:
        for card in checked_cards(repository, number, base, head, server):
            place = folder_of(target, card)
            kept = None if keep is None else folder_of(keep, card)
            with out.progress("steps") as progress:
                bar = progress.add_task(card.name, total=None)
                found.append(
                    evaluate(
                        card,
                        server,
                        place,
                        evaluator=program_commit(repository),
                        keep=kept,
                        progress=partial(_advance, progress, bar),
                    )
                )
            if deliver is not None:
                remote_evaluation.deliver(card.document, place, server, deliver, kept)
    answer(found, head, target, out)


@click.command("say")
@click.option("--number", required=True, type=click.IntRange(min=1))
@click.option("--topic", required=True, help="One comment is kept for each topic.")
@click.option("--file", "path", required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--reason", default="", help="What is said if the file is not there.")
@click.option(
    "--measured",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="What was measured, as `ci evaluate` wrote it: how often that was done is said too.",
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
    said: list[str] = []
    head = ""
    if measured is not None:
        new = read_submissions(measured)
        known = github.submissions(topic)
        # What was measured before stays recorded, also where nothing came out this time.
        known[number] = joined(known.get(number, ()), new)
        said = counts(new, known)
        head = f"{record(known[number])}\n"
    tail = "".join(f"\n{line}\n" for line in said)
    github.say(number, topic, f"{head}{text[: MAX_COMMENT - len(head) - len(tail)]}{tail}")
    for line in said:
        out.line(line)
    out.line(f"said under pull request {number}")
    out.document({"number": number, "topic": topic, "measured": said})


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
    from ggez_hub.automation.approval import Order
    from ggez_hub.automation.budget import read_budget
    from ggez_hub.automation.cost import costs_of, require_money
    from ggez_hub.automation.evaluation import judge
    from ggez_hub.automation.remote_evaluation import fetch_delivery, job_order, recomputed
    from ggez_hub.errors import GgezError
    from ggez_hub.hub import jobs
    from ggez_hub.hub_connection import connect

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


def _advance(progress: Progress, bar: TaskID, done: int, total: int) -> None:
    progress.update(bar, completed=done, total=total)
