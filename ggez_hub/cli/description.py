"""The description of an adapter: options of `card init` and `contribute`, or questions on a terminal."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from ggez_hub.cards import CardDocument
from ggez_hub.cards.values import Adapts
from ggez_hub.cli.output import Output
from ggez_hub.cli.questions import REGION, ask, on_terminal
from ggez_hub.errors import UsageProblem
from ggez_hub.hub import Hub
from ggez_hub.regions import find_region
from ggez_hub.registry.contribution.adapter_files import (
    AdapterFiles,
    BaseModel,
    files_on_disk,
    files_on_hub,
    find_base,
    with_shapes,
)
from ggez_hub.registry.contribution.card_draft import CardAnswers, draft_card
from ggez_hub.registry.contribution.training_metadata import REPO
from ggez_hub.registry.file_checks import NotFit
from ggez_hub.registry.licences import reviewed
from ggez_hub.registry.request import require_repository

R = TypeVar("R")

# The options, and for each the question that it answers.
QUESTIONS = {
    "region": REGION,
    "base": "Which base model does it fit? (a repository, as org/name)",
    "license": "Under which licence do you give it? (the Hub's id: apache-2.0, cc-by-4.0, other)",
    "adapts": "What does it change? (content, prompt_language, answer_language; or unknown)",
    "summary": "What does it do, in one sentence?",
}


@dataclass(frozen=True)
class Description:
    """The answers given so far; None where none was."""

    region: str | None = None
    base: str | None = None
    license: str | None = None
    adapts: str | None = None
    summary: str | None = None
    languages: str | None = None
    family: str | None = None
    kind: str | None = None
    file: str | None = None

    def require(self, *names: str) -> None:
        """Raise UsageProblem that names the options without an answer."""
        missing = [f"--{name}" for name in names if getattr(self, name) is None]
        if missing:
            raise UsageProblem(
                f"this needs {', '.join(missing)}",
                " ".join(QUESTIONS[name] for name in names if getattr(self, name) is None),
            )

    def files(self, source: str, hub: Hub) -> AdapterFiles:
        """The adapter that SOURCE means: something on this disk, or a repository on the hub."""
        if Path(source).exists():
            return files_on_disk(Path(source) / self.file if self.file else Path(source))
        repo, _, revision = source.partition("@")
        if not REPO.match(repo):
            raise UsageProblem(
                f"{source} is neither a file nor a folder here, nor the name of a repository",
                "A repository is named org/name, or org/name@REVISION.",
            )
        return files_on_hub(hub, repo, revision or "main", self.file)

    def find_base(self, hub: Hub) -> BaseModel:
        """The base; `base` has to be given."""
        return with_shapes(hub, find_base(hub, self.base or "", self.family))

    def draft(self, files: AdapterFiles, base: BaseModel) -> CardDocument:
        """The card; `region` has to be given."""
        answers = CardAnswers(
            region=self.region or "",
            license=self.license,
            summary=self.summary,
            languages=_listed(self.languages),
            adapts=_listed(self.adapts),
            kind=self.kind,
        )
        return draft_card(files, base, answers)


def note_other_base(document: CardDocument, out: Output) -> None:
    """Print that the adapter's own files name another base than the one that was given."""
    base, trained_on = document.card.base.repo, document.card.trained_on
    if not isinstance(trained_on, str) and trained_on.repo != base:
        out.note(
            f"note: the adapter's files say that it was trained on {trained_on.repo}, not on {base}: "
            f"unless their weights are the same, or nearly, give --base {trained_on.repo}"
        )


def description_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command these options; it receives them as `description`."""

    @click.option("--region", help="A country or group: th, southeast-asia, ไทย.")
    @click.option("--base", metavar="REPO[@REVISION]", help="The base that it fits.")
    @click.option("--license", help="The Hub's id of its licence.")
    @click.option("--adapts", help="content, prompt_language, answer_language.")
    @click.option("--summary", help="One sentence in English.")
    @click.option("--languages", help="BCP 47 tags, as th,en.")
    @click.option("--family", help="Found by the base's files if left out.")
    @click.option(
        "--kind",
        type=click.Choice(["lora", "task_vector", "finetune", "merged"]),
        help="merged: a merged model, which is taken as it is. The others are found from the files.",
    )
    @click.option("--file", help="Which file of several.")
    @functools.wraps(command)
    def wrapper(*args: Any, **options: Any) -> R:
        given = {name: options.pop(name) for name in Description.__dataclass_fields__}
        for name, check in CHECKS.items():
            if given[name] is not None:
                check(given[name])
        return command(*args, description=Description(**given), **options)

    return wrapper


def _listed(text: str | None) -> tuple[str, ...] | None:
    values = tuple(part.strip() for part in (text or "").split(",") if part.strip())
    return None if values in {(), ("unknown",)} else values


def complete(
    description: Description,
    needed: tuple[str, ...],
    optional: tuple[str, ...] = (),
    **likely: str | None,
) -> Description:
    """Ask for what is missing, with the likely answers as defaults.

    Raises UsageProblem if something needed is missing and there is no terminal.
    """
    if not on_terminal():
        description.require(*needed)
        return description
    for name in (*needed, *optional):
        if getattr(description, name) is None:
            check = CHECKS.get(name, lambda _: None)
            answer = ask(QUESTIONS[name], check, likely.get(name))
            description = replace(description, **{name: answer})
    return description


def _check_base(text: str) -> None:
    require_repository(text)


def _check_license(text: str) -> None:
    try:
        reviewed(text, "the adapter")
    except NotFit as problem:
        raise UsageProblem(
            f"--license {text}: nobody has reviewed this licence",
            problem.hint or "What a licence asks is added to ggez_hub/registry/licences.yaml.",
        ) from problem


def _check_adapts(text: str) -> None:
    if unknown := {p.strip() for p in text.split(",")} - {*get_args(Adapts), "unknown"}:
        raise UsageProblem(
            f"--adapts: there is no {', '.join(sorted(unknown))}", QUESTIONS["adapts"]
        )


CHECKS: Mapping[str, Callable[[str], object]] = {
    "region": find_region,
    "base": _check_base,
    "license": _check_license,
    "adapts": _check_adapts,
}
