"""`ci check`, `answer`, `automerge`, `adopt`: from a proposal to a merged card."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ggez_hub.cli.ci.workflow import checked, clone_option, event_options, summary
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.errors import GgezError
from ggez_hub.hub_connection import connect
from ggez_hub.quantities import counted

PUBLISH = "publish.yml"


@click.command("check")
@event_options
@hub_option
@output_options
def check_command(repository: Path, event: Path | None, hub: str, out: Output) -> None:
    """Check the cards and recipes of a pull request, read as data: errors and hints apart.

    Each adapter is merged with a sample of its base: a tensor of each kind, at its real shape.
    """
    from ggez_hub.automation.event import Order, PullRequestEvent, read_event

    pull = read_event(PullRequestEvent, event)
    order = Order(pull.number, pull.base, pull.head)
    with connect(hub, quiet=True) as server:
        findings = checked(repository, order, server, merges=True).findings
    for finding in findings.found:
        # On a runner these lines become notes beside the files.
        out.line(finding.annotation())
    summary(findings.markdown())
    out.line(findings.markdown())
    errors, hints = ([*map(asdict, found)] for found in (findings.errors, findings.hints))
    out.document({"errors": errors, "hints": hints})
    if errors:
        raise GgezError(f"{counted(len(errors), 'error')} in pull request {pull.number}")


@click.command("answer")
@event_options
@hub_option
@output_options
def answer_command(repository: Path, event: Path | None, hub: str, out: Output) -> None:
    """Check the pull requests of a finished run again and write, or edit, the comment."""
    from ggez_hub.automation.event import Order, RunEvent, read_event
    from ggez_hub.automation.github import GitHub

    github = GitHub.of_environment()
    run = read_event(RunEvent, event)
    answered = []
    with connect(hub, quiet=True) as server:
        for number in github.pull_requests(run.head_sha):
            order = Order(number, *github.head(number))
            findings = checked(repository, order, server, merges=True).findings
            github.say(number, "contribution", findings.markdown())
            out.line(
                f"answered under pull request {number}: {counted(len(findings.errors), 'error')}"
            )
            answered.append(number)
    out.document({"answered": answered})


@click.command("automerge")
@event_options
@hub_option
@output_options
def automerge_command(repository: Path, event: Path | None, hub: str, out: Output) -> None:
    """Merge the contributions of a commit that are green and approved; print why the others wait.

    Then start publish.yml, which a merge by a run's own token does not start.
    """
    from ggez_hub.automation.event import Order, RunEvent, read_event, reasons_to_wait
    from ggez_hub.automation.github import GitHub

    github = GitHub.of_environment()
    sha = read_event(RunEvent, event).head_sha
    document = {}
    with connect(hub, quiet=True) as server:
        for number in github.pull_requests(sha):
            # The merge was tried by the run of Contribution, which has to be green.
            found = checked(repository, Order(number, *github.head(number)), server)
            reasons = reasons_to_wait(number, sha, found.findings, found.by_hand, github)
            if reasons:
                out.line(f"pull request {number} waits: {'; '.join(reasons)}")
            else:
                github.merge(number, sha)
                out.line(f"pull request {number} is merged at {sha[:12]}")
            document[str(number)] = {"merged": not reasons, "waits": reasons}
    if any(found["merged"] for found in document.values()):
        github.start(PUBLISH)
        out.line(f"started {PUBLISH}")
    out.document(document)


MOST_NEW = 10


@click.command("adopt")
@clone_option
@hub_option
@output_options
def adopt_command(repository: Path, hub: str, out: Output) -> None:
    """Open a pull request here for each card that was proposed to the index on the hub.

    At most 10 new ones in one run, since anybody can make proposals on the hub. Run again, it
    brings them up to date, opens more, and nothing twice.
    """
    from ggez_hub.automation.github import GitHub
    from ggez_hub.automation.registry_pull_requests import to_adopt

    github = GitHub.of_environment()
    document = []
    opened = 0
    with connect(hub, quiet=True) as server:
        for found in to_adopt(repository, server):
            state, url, reason = "left", "", found.reason
            if found.proposal is not None:
                try:
                    state, url = github.propose(found.proposal)
                except GgezError as problem:
                    reason = problem.message
                opened += state == "opened"
            out.line(f"proposal {found.there.number}: {reason or f'{state} {url}'}")
            document.append(
                {
                    "proposal": found.there.number,
                    "state": state,
                    "reason": reason,
                    "pull_request": url or None,
                }
            )
            if opened == MOST_NEW:
                out.line(f"{MOST_NEW} are opened: the others wait for the next run")
                break
    if not document:
        out.line("Nothing is proposed.")
    out.document({"proposals": document})
