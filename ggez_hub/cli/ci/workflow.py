"""Options of the workflows' steps, and what steps give back: outputs, summaries, comments."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ggez_hub.atomic_files import write_file
from ggez_hub.cli.output import Output
from ggez_hub.cli.parameters import FOLDER, NEW_FILE, NEW_FOLDER
from ggez_hub.errors import GateFailed, GgezError
from ggez_hub.hub import Hub

if TYPE_CHECKING:
    from ggez_hub.automation.check import Checked
    from ggez_hub.automation.contribution_rules import ProposedCard
    from ggez_hub.automation.evaluation import Evaluated
    from ggez_hub.automation.event import Order


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
            "--event", type=NEW_FILE, help="The event's payload; GITHUB_EVENT_PATH if left out."
        )(command)
    )


def order_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a step the clone and the commits that `ci authorise` names, as `order: Order`."""

    @clone_option
    @click.option("--number", required=True, type=click.IntRange(min=1))
    @click.option("--base", required=True, help="The commit that the pull request started from.")
    @click.option("--head", required=True, help="The commit to measure, whatever is pushed later.")
    @functools.wraps(command)
    def wrapper(*args: Any, number: int, base: str, head: str, **options: Any) -> R:
        from ggez_hub.automation.event import Order

        return command(*args, order=Order(number, base, head), **options)

    return wrapper


def checked(repository: Path, order: Order, server: Hub, *, merges: bool = False) -> Checked:
    """Fetch a pull request's commits and check them, with a merge on a sample if asked."""
    from ggez_hub.automation.check import check
    from ggez_hub.automation.git_changes import fetch_head, read_contribution

    fetch_head(repository, order.number, order.head)
    contribution = read_contribution(repository, order.base, order.head)
    return check(contribution, repository, server, merges=merges)


def checked_cards(repository: Path, order: Order, server: Hub) -> tuple[ProposedCard, ...]:
    """The cards of a pull request; raises GgezError if there is an error in it."""
    found = checked(repository, order, server)
    if errors := len(found.findings.errors):
        raise GgezError(
            f"pull request {order.number} has {errors} errors: it is not measured",
            "`ggez-hub ci check` lists them.",
        )
    return found.cards


def program_commit(repository: Path) -> str:
    """The commit of the program that measures: that of the clone."""
    from dulwich.repo import Repo

    with Repo(str(repository)) as repo:
        return repo.head().decode()


def summary(text: str) -> None:
    """Show text on the page of the run."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)


def output(key: str, value: str) -> None:
    """Give a value to later steps: numbers, words and shas, never a stranger's text."""
    if path := os.environ.get("GITHUB_OUTPUT"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{key}={value}\n")


@contextmanager
def failure_reason() -> Iterator[None]:
    """Give the reason of a failure to the job that comments, on one line."""
    try:
        yield
    except GgezError as problem:
        output("reason", " ".join(problem.message.split()))
        raise


def folder_of(target: Path, card: ProposedCard) -> Path:
    """The folder for the results of a card."""
    return target / card.name.replace("/", "-")


def answer(found: Sequence[Evaluated], head: str, target: Path, out: Output) -> None:
    """Write the comment; raises GateFailed if a gate of a card is not passed."""
    from ggez_hub.automation.evaluation import comment
    from ggez_hub.automation.submissions import FILE, submission_of, write_submissions

    text = "\n".join(comment(card, head) for card in found)
    text = text or "There is no card to measure in this pull request.\n"
    target.mkdir(parents=True, exist_ok=True)
    write_file(target / "comment.md", text)
    write_submissions(target / FILE, [submission_of(card) for card in found])
    summary(text)
    out.line(text)
    out.document({card.path: card.report.as_dict() for card in found})
    if failed := [card.path for card in found if card.outcome == "fail"]:
        raise GateFailed(f"a gate is not passed: {', '.join(failed)}")
