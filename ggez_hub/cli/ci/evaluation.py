"""`ci authorise`, `plan`, `evaluate`, `say`: from `/ggez evaluate` to a table under it."""

from __future__ import annotations

from pathlib import Path

import click

from ggez_hub.cli.ci.run import (
    event_options,
    order_options,
    output,
    program_commit,
    summary,
)
from ggez_hub.cli.output import Output, hub_option, output_options

# GitHub takes 65,536 characters.
MAX_COMMENT = 60_000
NOTHING = "The evaluation ended without a result: see the run.\n"


@click.command("authorise")
@event_options
@output_options
def authorise_command(repository: Path, event: Path | None, out: Output) -> None:
    """Whether a `/ggez evaluate` comes from somebody who may; the commit that it is for."""
    from ggez_hub.automation.decide import order
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
    """What an evaluation would cost in bytes, hours and dollars; ends with 3 over the budget."""
    from ggez_hub.automation.check import check
    from ggez_hub.automation.contribution import fetch_head, read_contribution
    from ggez_hub.automation.cost import cost, read_budget, require_money, this_month
    from ggez_hub.hubs import connect

    fetch_head(repository, number, head)
    contribution = read_contribution(repository, base, head)
    budget = read_budget(repository)
    with connect(hub, quiet=True) as server:
        cards = check(contribution, repository, server).cards
        costs = [cost(card.path, card.document.card, server, budget, None) for card in cards]
        spent = None
        if any(c.where == "hf-jobs" for c in costs):
            priced = server.job_prices()
            costs = [cost(card.path, card.document.card, server, budget, priced) for card in cards]
            spent = server.jobs_of_month(budget.namespace, this_month())
    for c in costs:
        money = "unknown" if c.usd_at_most is None else f"${c.usd_at_most:.2f}"
        out.line(
            f"{c.card}: {c.fetch_bytes / 1e6:,.1f} MB to fetch, {c.disk_bytes / 1e6:,.1f} MB of "
            f"disk, on {c.machine}, at most {c.hours_at_most:g} hours and {money}; would publish "
            f"{'the merged model' if c.publishes == 'merged' else 'the adapter form'}"
        )
    out.document({"costs": [c.as_dict() for c in costs]})
    require_money(costs, budget, spent)


@click.command("evaluate")
@order_options
@click.option("-o", "--out", "target", required=True, type=click.Path(path_type=Path))
@hub_option
@output_options
def evaluate_command(
    repository: Path, number: int, base: str, head: str, target: Path, hub: str, out: Output
) -> None:
    """Measure the adapters of a pull request by the registry's tasks, and gate them.

    Writes results, predictions, the measured card and a comment. Ends with 3 if a gate fails.
    """
    from ggez_hub.automation.check import check
    from ggez_hub.automation.contribution import fetch_head, read_contribution
    from ggez_hub.automation.evaluate import evaluate
    from ggez_hub.automation.evaluation_comment import comment
    from ggez_hub.errors import GateFailed, GgezError
    from ggez_hub.hubs import connect

    fetch_head(repository, number, head)
    contribution = read_contribution(repository, base, head)
    document: dict[str, object] = {}
    texts, failed = [], []
    with connect(hub, quiet=True) as server:
        checked = check(contribution, repository, server)
        if checked.findings.errors:
            raise GgezError(
                f"pull request {number} has {len(checked.findings.errors)} errors: it is not "
                "measured",
                "`ggez-hub ci check` lists them.",
            )
        for card in checked.cards:
            name = card.path.removeprefix("cards/").removesuffix(".md").replace("/", "-")
            with out.progress("steps") as progress:
                bar = progress.add_task(name, total=None)
                found = evaluate(
                    card,
                    server,
                    target / name,
                    evaluator=program_commit(repository),
                    progress=lambda done, total, bar=bar: progress.update(
                        bar, completed=done, total=total
                    ),
                )
            texts.append(comment(found, head))
            document[card.path] = {
                "outcome": found.outcome,
                "gates": [gate.as_dict() for gate in found.gates],
                "beta": found.compared.beta,
            }
            if found.outcome == "fail":
                failed.append(card.path)
    text = "\n".join(texts) or "There is no card to measure in this pull request.\n"
    target.mkdir(parents=True, exist_ok=True)
    (target / "comment.md").write_text(text, encoding="utf-8")
    summary(text)
    out.line(text)
    out.document(document)
    if failed:
        raise GateFailed(f"a gate is not passed: {', '.join(failed)}")


@click.command("say")
@click.option("--number", required=True, type=click.IntRange(min=1))
@click.option("--topic", required=True, help="One comment is kept for each topic.")
@click.option("--file", "path", required=True, type=click.Path(path_type=Path, dir_okay=False))
@output_options
def say_command(number: int, topic: str, path: Path, out: Output) -> None:
    """Write, or edit, the comment on a topic under a pull request."""
    from ggez_hub.automation.github import GitHub

    text = path.read_text(encoding="utf-8") if path.is_file() else NOTHING
    GitHub.of_environment().say(number, topic, text[:MAX_COMMENT])
    out.line(f"said under pull request {number}")
    out.document({"number": number, "topic": topic})
