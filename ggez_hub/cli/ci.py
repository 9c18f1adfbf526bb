"""`ci`: the steps of the workflows, each of which can be run by hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from ggez_hub.cli.gate import gate_command
from ggez_hub.cli.output import Output, hub_option, output_options

if TYPE_CHECKING:
    from ggez_hub.automation.check import Checked
    from ggez_hub.automation.findings import Finding

R = TypeVar("R")

FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)
# GitHub takes 65,536 characters.
MAX_COMMENT = 60_000
NOTHING = "The evaluation ended without a result: see the run.\n"


@click.group("ci", short_help="The steps of the registry's workflows.")
def ci_command() -> None:
    """The steps of the registry's workflows."""


ci_command.add_command(gate_command)


def _place(command: Callable[..., R]) -> Callable[..., R]:
    """Give a step the repository and the event that started it."""
    command = click.option(
        "--event",
        type=click.Path(path_type=Path, dir_okay=False),
        default=None,
        help="The event's payload; GITHUB_EVENT_PATH if left out.",
    )(command)
    return click.option(
        "--repository",
        type=FOLDER,
        default=".",
        help="A clone of the registry, at the default branch.",
    )(command)


@ci_command.command("check")
@_place
@hub_option
@output_options
def check_command(repository: Path, event: Path | None, hub: str, out: Output) -> None:
    """Check the cards and recipes of a pull request, read as data: errors and hints apart."""
    from ggez_hub.automation.event import PullRequestEvent, read_event
    from ggez_hub.errors import GgezError

    pull = read_event(PullRequestEvent, event).pull_request
    checked = _check(repository, pull.number, pull.base.sha, pull.head.sha, hub)
    for finding in checked.findings.found:
        # On a runner these lines become notes beside the files.
        out.line(finding.annotation())
    _summary(checked.findings.markdown())
    out.line(checked.findings.markdown())
    out.document(
        {"errors": _listed(checked.findings.errors), "hints": _listed(checked.findings.hints)}
    )
    if checked.findings.errors:
        raise GgezError(f"{len(checked.findings.errors)} errors in pull request {pull.number}")


@ci_command.command("answer")
@_place
@hub_option
@output_options
def answer_command(repository: Path, event: Path | None, hub: str, out: Output) -> None:
    """Check the pull requests of a finished run again and write, or edit, the comment."""
    from ggez_hub.automation.event import RunEvent, read_event
    from ggez_hub.automation.github import GitHub

    github = GitHub.of_environment()
    run = read_event(RunEvent, event).workflow_run
    answered = []
    for number in github.pull_requests(run.head_sha):
        base, head = github.head(number)
        checked = _check(repository, number, base, head, hub)
        github.say(number, "contribution", checked.findings.markdown())
        out.line(f"answered under pull request {number}: {len(checked.findings.errors)} errors")
        answered.append(number)
    out.document({"answered": answered})


@ci_command.command("automerge")
@_place
@hub_option
@output_options
def automerge_command(repository: Path, event: Path | None, hub: str, out: Output) -> None:
    """Merge the contributions of a commit that are green and approved; say why the others wait."""
    from ggez_hub.automation.decide import reasons_to_wait
    from ggez_hub.automation.event import RunEvent, read_event
    from ggez_hub.automation.github import GitHub

    github = GitHub.of_environment()
    sha = read_event(RunEvent, event).workflow_run.head_sha
    document = {}
    for number in github.pull_requests(sha):
        base, head = github.head(number)
        checked = _check(repository, number, base, head, hub)
        reasons = reasons_to_wait(number, sha, checked.findings, checked.by_hand, github)
        if reasons:
            out.line(f"pull request {number} waits: {'; '.join(reasons)}")
        else:
            github.merge(number, sha)
            out.line(f"pull request {number} is merged at {sha[:12]}")
        document[str(number)] = {"merged": not reasons, "waits": reasons}
    out.document(document)


@ci_command.command("authorise")
@_place
@output_options
def authorise_command(repository: Path, event: Path | None, out: Output) -> None:
    """Whether a `/ggez evaluate` comes from somebody who may; the commit that it is for."""
    from ggez_hub.automation.decide import order
    from ggez_hub.automation.event import CommentEvent, read_event
    from ggez_hub.automation.github import GitHub

    ordered = order(read_event(CommentEvent, event), GitHub.of_environment())
    for key, value in (("number", ordered.number), ("base", ordered.base), ("head", ordered.head)):
        _output(key, str(value))
    out.line(f"evaluate pull request {ordered.number} at {ordered.head}")
    out.document({"number": ordered.number, "base": ordered.base, "head": ordered.head})


@ci_command.command("plan")
@click.option("--repository", type=FOLDER, default=".", help="A clone, at the default branch.")
@click.option("--number", required=True, type=click.IntRange(min=1))
@click.option("--base", required=True, help="The commit that the pull request started from.")
@click.option("--head", required=True, help="The commit that would be evaluated.")
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


@ci_command.command("evaluate")
@click.option("--repository", type=FOLDER, default=".", help="A clone, at the default branch.")
@click.option("--number", required=True, type=click.IntRange(min=1))
@click.option("--base", required=True, help="The commit that the pull request started from.")
@click.option("--head", required=True, help="The commit that is evaluated, whatever comes later.")
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
                    evaluator=_commit(repository),
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
    _summary(text)
    out.line(text)
    out.document(document)
    if failed:
        raise GateFailed(f"a gate is not passed: {', '.join(failed)}")


@ci_command.command("publish")
@click.option("--repository", type=FOLDER, default=".", help="A clone, at the default branch.")
@click.option("--work", required=True, type=click.Path(path_type=Path, file_okay=False))
@hub_option
@output_options
def publish_command(repository: Path, work: Path, hub: str, out: Output) -> None:
    """Measure what was accepted, publish the index with its evidence, push the merged models."""
    from dataclasses import asdict

    from ggez_hub.automation.publish import publish_accepted
    from ggez_hub.hubs import connect

    with connect(hub, quiet=True) as server:
        done, standings = publish_accepted(
            repository, server, work, evaluator=_commit(repository), say=out.line
        )
    out.line(f"index @ {done.revision[:12]}: {done.built.cards} cards")
    for standing in standings:
        out.line(f"{standing.path}: {standing.merged or f'no merged model: {standing.reason}'}")
    out.document({"index": done.revision, "cards": [asdict(s) for s in standings]})


@ci_command.command("say")
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


def _commit(repository: Path) -> str:
    """The commit of the program that measures: the clone is at the default branch."""
    from dulwich.repo import Repo

    with Repo(str(repository)) as repo:
        return repo.head().decode()


def _check(repository: Path, number: int, base: str, head: str, hub: str) -> Checked:
    from ggez_hub.automation.check import check
    from ggez_hub.automation.contribution import fetch_head, read_contribution
    from ggez_hub.hubs import connect

    fetch_head(repository, number, head)
    contribution = read_contribution(repository, base, head)
    with connect(hub, quiet=True) as server:
        return check(contribution, repository, server)


def _listed(findings: tuple[Finding, ...]) -> list[dict[str, object]]:
    from dataclasses import asdict

    return [asdict(finding) for finding in findings]


def _summary(text: str) -> None:
    """Show text on the page of the run."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)


def _output(key: str, value: str) -> None:
    """Give a value to later steps; ours are numbers and shas, never a stranger's text."""
    if path := os.environ.get("GITHUB_OUTPUT"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{key}={value}\n")
