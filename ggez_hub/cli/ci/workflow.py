"""What a run of a workflow gives its steps, and what they give back to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from ggez_hub.cli.output import Output
from ggez_hub.cli.parameters import FOLDER, NEW_FOLDER
from ggez_hub.errors import GateFailed, GgezError
from ggez_hub.hub import Hub
from ggez_hub.hub_connection import connect

if TYPE_CHECKING:
    from ggez_hub.automation.check import Checked
    from ggez_hub.automation.contribution_rules import ProposedCard
    from ggez_hub.automation.evaluation import Evaluated


R = TypeVar("R")


def clone_option(command: Callable[..., R]) -> Callable[..., R]:
    """Give a step the registry's clone, as `repository: Path`."""
    return click.option(
        "--repository",
        type=FOLDER,
        default=".",
        help="A clone of the registry, at the default branch.",
    )(command)


def keep_option(command: Callable[..., R]) -> Callable[..., R]:
    """Give a step the folder for the closed answers, as `keep: Path | None`."""
    return click.option(
        "--keep",
        type=NEW_FOLDER,
        envvar="GGEZ_KEEP",
        help="A folder, not to be published, for the answers of the closed part of the test side.",
    )(command)


def event_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a step the clone and the event that started it, as `event: Path | None`."""
    return clone_option(
        click.option(
            "--event",
            type=click.Path(path_type=Path, dir_okay=False),
            help="The event's payload; GITHUB_EVENT_PATH if left out.",
        )(command)
    )


def order_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a step the clone and the commits of a pull request, as `ci authorise` names them."""
    for option in (
        click.option(
            "--head", required=True, help="The commit that is meant, whatever comes later."
        ),
        click.option(
            "--base", required=True, help="The commit that the pull request started from."
        ),
        click.option("--number", required=True, type=click.IntRange(min=1)),
    ):
        command = option(command)
    return clone_option(command)


def checked_contribution(
    repository: Path, number: int, base: str, head: str, hub: str, *, merges: bool
) -> Checked:
    """Fetch a pull request's commits and check what it changes, with a merge on a sample if asked."""
    from ggez_hub.automation.check import check
    from ggez_hub.automation.git_changes import fetch_head, read_contribution

    fetch_head(repository, number, head)
    contribution = read_contribution(repository, base, head)
    with connect(hub, quiet=True) as server:
        return check(contribution, repository, server, merges=merges)


def checked_cards(
    repository: Path, number: int, base: str, head: str, server: Hub
) -> tuple[ProposedCard, ...]:
    """The cards of a pull request; raises GgezError if there is an error in it."""
    from ggez_hub.automation.check import check
    from ggez_hub.automation.git_changes import fetch_head, read_contribution

    fetch_head(repository, number, head)
    checked = check(read_contribution(repository, base, head), repository, server)
    if checked.findings.errors:
        raise GgezError(
            f"pull request {number} has {len(checked.findings.errors)} errors: it is not measured",
            "`ggez-hub ci check` lists them.",
        )
    return checked.cards


def program_commit(repository: Path) -> str:
    """The commit of the program that measures: the clone is at the default branch."""
    from dulwich.repo import Repo

    with Repo(str(repository)) as repo:
        return repo.head().decode()


def summary(text: str) -> None:
    """Show text on the page of the run."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)


def output(key: str, value: str) -> None:
    """Give a value to later steps; ours are numbers, words and shas, never a stranger's text."""
    if path := os.environ.get("GITHUB_OUTPUT"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{key}={value}\n")


@contextmanager
def reason_told() -> Iterator[None]:
    """Give the reason why a step fails to the job that answers, on one line."""
    try:
        yield
    except GgezError as problem:
        output("reason", " ".join(problem.message.split()))
        raise


def folder_of(target: Path, card: ProposedCard) -> Path:
    """Where the results of a card are written."""
    return target / card.name.replace("/", "-")


def answer(found: Sequence[Evaluated], head: str, target: Path, out: Output) -> None:
    """Write the comment; raises GateFailed if a gate of a card is not passed."""
    from ggez_hub.automation.evaluation import comment
    from ggez_hub.automation.submissions import FILE, submission_of, write_submissions

    text = "\n".join(comment(card, head) for card in found)
    text = text or "There is no card to measure in this pull request.\n"
    target.mkdir(parents=True, exist_ok=True)
    (target / "comment.md").write_text(text, encoding="utf-8")
    write_submissions(target / FILE, [submission_of(card) for card in found])
    summary(text)
    out.line(text)
    out.document(
        {
            card.path: {
                **card.report.as_dict(),
            }
            for card in found
        }
    )
    if failed := [card.path for card in found if card.outcome == "fail"]:
        raise GateFailed(f"a gate is not passed: {', '.join(failed)}")
