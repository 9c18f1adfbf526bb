"""What `card init` and `contribute` share: what a person says of an adapter, as options."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ggez_hub.errors import GgezError, UsageProblem

if TYPE_CHECKING:
    from ggez_hub.cards import CardDocument
    from ggez_hub.hub import Hub
    from ggez_hub.registry.contribution.adapter_files import AdapterFiles
    from ggez_hub.registry.contribution.base_model import BaseModel


R = TypeVar("R")

# The options, and for each the question that it answers.
QUESTIONS = {
    "region": "Which country or region is it for? (th, southeast-asia, Philippines)",
    "base": "Which base model does it fit? (a repository, as org/name)",
    "license": "Under which licence do you give it? (the Hub's id: apache-2.0, cc-by-4.0, other)",
    "adapts": "What does it change? (content, prompt_language, answer_language; or unknown)",
    "summary": "What does it do, in one sentence?",
}


@dataclass(frozen=True)
class Description:
    """What was said on the command line; None where nothing was."""

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
        from ggez_hub.registry.contribution.adapter_files import files_on_disk, files_on_hub
        from ggez_hub.registry.contribution.training_metadata import REPO

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
        """The base, which is named by now."""
        from ggez_hub.registry.contribution.base_model import find_base, with_shapes

        assert self.base is not None  # noqa: S101 - `require` has seen to it
        return with_shapes(hub, find_base(hub, self.base, self.family))

    def draft(self, files: AdapterFiles, base: BaseModel) -> CardDocument:
        """The card; the region is known by now."""
        from ggez_hub.registry.contribution.card_draft import CardAnswers, draft_card

        assert self.region is not None  # noqa: S101 - as above
        answers = CardAnswers(
            region=self.region,
            license=self.license,
            summary=self.summary,
            languages=_listed(self.languages),
            adapts=_listed(self.adapts),
            kind=self.kind,
        )
        return draft_card(files, base, answers)


def description_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options of a Description; it receives them as `description`."""

    @click.option("--region", default=None, help="A country or group: th, southeast-asia, ไทย.")
    @click.option("--base", default=None, metavar="REPO[@REVISION]", help="The base that it fits.")
    @click.option("--license", default=None, help="The Hub's id of its licence.")
    @click.option("--adapts", default=None, help="content, prompt_language, answer_language.")
    @click.option("--summary", default=None, help="One sentence in English.")
    @click.option("--languages", default=None, help="BCP 47 tags, as th,en.")
    @click.option("--family", default=None, help="Found by the base's files if left out.")
    @click.option(
        "--kind",
        type=click.Choice(["lora", "task_vector", "finetune", "merged"]),
        default=None,
        help="merged: a merged model, which is taken as it is. The others are told by the files.",
    )
    @click.option("--file", default=None, help="The one file that is meant, of several.")
    @functools.wraps(command)
    def wrapper(*args: Any, **options: Any) -> R:
        said = {name: options.pop(name) for name in Description.__dataclass_fields__}
        return command(*args, description=Description(**said), **options)

    return wrapper


def _listed(text: str | None) -> tuple[str, ...] | None:
    values = tuple(part.strip() for part in (text or "").split(",") if part.strip())
    return None if values in {(), ("unknown",)} else values


@dataclass(frozen=True)
class Asking:
    """What to ask: the options that have to be answered, those that may be, and what is likely."""

    needed: tuple[str, ...]
    welcome: tuple[str, ...] = ()
    likely: Mapping[str, str | None] | None = None


def on_terminal() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def answered(description: Description, asking: Asking) -> Description:
    """The description with what was asked for; raises UsageProblem where nobody can be asked."""
    if not on_terminal():
        description.require(*asking.needed)
        return description
    likely = asking.likely or {}
    for name in (*asking.needed, *asking.welcome):
        if getattr(description, name) is None:
            answer = click.prompt(
                QUESTIONS[name], default=likely.get(name), value_proc=_checked(name), err=True
            )
            description = replace(description, **{name: answer})
    return description


def _checked(name: str) -> Callable[[str], Any]:
    """What takes an answer or says why it is none; click then asks again."""

    def check(text: str) -> str:
        answer = text.strip()
        try:
            if name in CHECKS:
                CHECKS[name](answer)
        except GgezError as error:
            raise click.UsageError(f"{error.message}. {error.hint}") from error
        return answer

    return check


def _region(text: str) -> None:
    from ggez_hub.regions import find_region

    find_region(text)


def _base(text: str) -> None:
    from ggez_hub.registry.contribution.training_metadata import REPO

    if not REPO.match(text.partition("@")[0]):
        raise GgezError("A repository is named org/name, or org/name@REVISION")


def _license(text: str) -> None:
    from ggez_hub.registry.licences import reviewed

    reviewed(text, "the adapter")


def _adapts(text: str) -> None:
    from typing import get_args

    from ggez_hub.cards.values import Adapts

    if unknown := {p.strip() for p in text.split(",")} - {*get_args(Adapts), "unknown"}:
        raise GgezError(f"There is no {', '.join(sorted(unknown))}")


CHECKS: Mapping[str, Callable[[str], None]] = {
    "region": _region,
    "base": _base,
    "license": _license,
    "adapts": _adapts,
}
