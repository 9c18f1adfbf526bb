"""The options of a request, and of a pull: for `pull`, `resolve`, `demo`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ggez_hub.cli.merge_inputs import read_parts
from ggez_hub.cli.output import Output
from ggez_hub.cli.parameters import BETA, SHARE, as_option, betas_option, out_dtype_option
from ggez_hub.cli.questions import given_region
from ggez_hub.errors import UsageProblem
from ggez_hub.regions import find_region, spelled_out
from ggez_hub.registry.request import Request

if TYPE_CHECKING:
    from ggez_hub.registry.trust.signing import SigningKey


R = TypeVar("R")

index_option = click.option(
    "--index",
    type=click.Choice(["hub", "shipped"]),
    help="Accepted adapters by the hub's own index, or by the one that ggez-hub ships.  [default: "
    "the hub's if it has one]",
)


def _locked_region(
    family: str | None, target: Path | None, lock_file: Path | None, **_options: Any
) -> str:
    """The region of the lock file of --locked; raises UsageProblem if it is not named either."""
    from ggez_hub.registry.lock import lock_place, read_lock

    if lock_file is None and target is not None:
        lock_file = lock_place(target, family)
    if lock_file is None:
        raise UsageProblem(
            "--locked needs a lock file", "Name it with --lock FILE, or its folder with -o DIR."
        )
    return read_lock(lock_file).resolution.region


def _checked_trust(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    # A misspelt word would be taken for an organisation, and distrust all others without a word.
    if get_close_matches(value, ["curated"], 1, 0.9) not in ([], [value]):
        raise UsageProblem(f"--trust {value}: did you mean curated?")
    return value


def request_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options of a Request; it receives them as `request`."""

    @click.option(
        "--region",
        callback=given_region,
        help="A country or group: th, southeast-asia, ไทย. Asked for on a terminal.",
    )
    @click.option("--family", help="Such as embedding, diffusion or vlm.")
    @click.option("--base", metavar="REPO[@REVISION]", help="Another base model.")
    @click.option(
        "--adapter",
        "adapters",
        multiple=True,
        metavar="REPO[@REVISION]",
        help="This adapter; several are composed, which is an experiment.",
    )
    @click.option(
        "--beta",
        "betas",
        multiple=True,
        type=BETA,
        help="How much of the adapter is added: one for each --adapter, or one for all.",
    )
    @click.option(
        "--policy",
        metavar="parity|keep[=0.98]",
        help="How beta is chosen: the highest GRP, or of the betas that keep this share of the "
        "scores outside the region.  [default: what the card declares]",
    )
    @click.option("--alpha", type=SHARE, help="This alpha, instead of that of the KOF index.")
    @betas_option
    @click.option(
        "--method",
        default="ggez_linear",
        show_default=True,
        help="How to merge; see `merge --help`.",
    )
    @out_dtype_option
    @as_option("switch")
    @click.option("--allow-overlap", is_flag=True, help="Compose regions that share countries.")
    @click.option(
        "--allow-shape-match",
        is_flag=True,
        help="Take a base that fits by shape only; the result is marked.",
    )
    @click.option(
        "--accept-changed",
        is_flag=True,
        help="Take changed weights of an adapter whose card records no sha256.",
    )
    @click.option(
        "--fallback",
        type=click.Choice(["near", "wide"]),
        default="near",
        show_default=True,
        help="If the region has no adapter: its group (southeast-asia), or with wide also larger ones.",
    )
    @click.option(
        "--trust",
        default="curated",
        show_default=True,
        metavar="curated|any|ORG,...",
        callback=_checked_trust,
        help="Whose adapters may be taken: accepted ones; any; or those of these organisations, too.",
    )
    @index_option
    @click.option("--live", is_flag=True, help="Search the hub by tags, not the curated index.")
    @functools.wraps(command)
    def wrapper(
        *args: Any, fallback: str, betas: tuple[float, ...], parts: tuple[Path, ...], **options: Any
    ) -> R:
        given = {
            name: options.pop(name) for name in Request.__dataclass_fields__ if name in options
        }
        if given["region"] is None:
            given["region"] = _locked_region(given["family"], **options)
        beta = betas if len(betas) > 1 else next(iter(betas), None)
        read = tuple(map(read_parts, parts))
        request = Request(**given, beta=beta, wide=fallback == "wide", parts=read)
        return command(*args, request=request, **options)

    return wrapper


@dataclass(frozen=True)
class PullOptions:
    """How a pull is done: the options of `pull` beside those of the request."""

    target: Path
    locked: bool = False
    lock_file: Path | None = None
    dry_run: bool = False
    explain: bool = False
    show_licenses: bool = False
    verify: bool = False
    offline: bool = False
    merge_here: bool = False
    repo: str | None = None
    private: bool = False
    pr: bool = False
    by: SigningKey | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the answer of an earlier pull answers this one too."""
        changes = (self.locked, self.dry_run, self.explain, self.show_licenses, self.verify)
        return not any((*changes, self.offline, self.repo))


def print_region(request: Request, out: Output) -> None:
    """The first line: the region as it was understood; a code that is also a language's is spelled out."""
    out.line(spelled_out(find_region(request.region), request.region))
