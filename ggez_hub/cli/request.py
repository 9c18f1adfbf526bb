"""The options of a request, and its resolution as text and JSON: for `pull`, `resolve`, `demo`."""

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
from ggez_hub.cli.parameters import BETA, SHARE, as_option, betas_option
from ggez_hub.cli.questions import given_region
from ggez_hub.errors import UsageProblem
from ggez_hub.hardware import size_text
from ggez_hub.regions import fallback_chain, find_region, spelled_out
from ggez_hub.registry.request import Request

if TYPE_CHECKING:
    from ggez_hub.merging.forms.adapter_facts import AdapterFacts
    from ggez_hub.registry.licences import Obligations
    from ggez_hub.registry.pull.parity_table import ParityTable
    from ggez_hub.registry.pull.plan import PullPlan
    from ggez_hub.registry.resolution import PinnedAdapter, PinnedRepo, Resolution
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
        help="Weight of the Delta: one for each --adapter, or one for all.",
    )
    @click.option(
        "--policy",
        metavar="parity|keep[=0.98]",
        help="How beta is chosen: the highest GRP, or of the betas that keep this share of the "
        "scores outside the region.  [default: what the card declares]",
    )
    @click.option("--alpha", type=SHARE, help="Instead of KOF's.")
    @betas_option
    @click.option("--method", default="ggez_linear", show_default=True)
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
        help="Take other weights than at the first use, of an adapter whose card records no sha256.",
    )
    @click.option("--fallback", type=click.Choice(["near", "wide"]), default="near")
    @click.option(
        "--trust",
        default="curated",
        show_default=True,
        metavar="curated|any|ORG,...",
        callback=_checked_trust,
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


def print_resolution(
    planned: PullPlan, out: Output, *, explain: bool = False, licences: bool = False
) -> None:
    """Base, adapter, alpha and beta, each with its source and reason; then the licences.

    With `licences` all that they ask, with `explain` every candidate and where alpha is from.
    """
    from ggez_hub.registry.resolution import FITS_BY_SHAPE

    resolution = planned.resolution
    if resolution.base is not None:
        out.line(f"base     {_pin(resolution.base)}")
    if resolution.fits_by == "shape":
        out.line(f"         {FITS_BY_SHAPE}")
    for adapter in resolution.adapters:
        what = "adapter " if resolution.base else "model   "
        out.line(f"{what} {_pin(adapter.source)}, {_served(adapter, resolution)}")
    if explain or resolution.alpha.fallback:
        out.line(f"alpha    {_alpha(resolution)}")
    _print_betas(resolution, out)
    if planned.composition is not None:
        out.line(f"         This is {planned.composition.text}.")
    if explain:
        for adapter in resolution.adapters:
            for line in adapter.signatures:
                out.line(f"signed   {line}")
        out.line("candidates")
        for adapter in resolution.adapters:
            out.line(f"  taken     {adapter.source.repo} ({adapter.region})")
        for candidate in resolution.rejected:
            out.line(f"  rejected  {candidate.repo} ({candidate.region}): {candidate.reason}")
    _print_licences(planned.obligations, out, all_of_it=licences)


def _print_betas(resolution: Resolution, out: Output) -> None:
    notes = []
    for adapter in resolution.adapters:
        if adapter.beta is None:
            out.line("beta     none: a merged model is taken as it is")
            continue
        out.line(
            f"beta     {adapter.beta.value:g} at alpha {resolution.alpha.value:.5g}: "
            f"{adapter.beta.reason}"
        )
        for text in adapter.parts.lines() if adapter.parts else ():
            out.line(f"by part  {text}")
        if adapter.beta.region not in {None, resolution.region}:
            notes.append(
                f"chosen for {adapter.beta.region}, not for {resolution.region}: fewer than 100 "
                "items are of the requested region"
            )
    if resolution.is_base:
        given = any(a.beta and a.beta.why == "given" for a in resolution.adapters)
        what = "this is the base" if resolution.form == "merged" else "this adapter leaves it"
        notes.append(f"{'' if given else 'the base is best here; '}{what}, unchanged")
    if notes:
        out.line(f"         {'; '.join(notes)}")


def _print_licences(obligations: Obligations, out: Output, *, all_of_it: bool) -> None:
    if not all_of_it:
        names = dict.fromkeys(name for duty in obligations.asked for name in duty.by)
        short = dict.fromkeys(duty.duty.replace("_", " ") for duty in obligations.asked)
        unknown = ["unknown for a part"] if obligations.unknown else []
        text = ", ".join([*(names or obligations.of_weights), *unknown])
        out.line(f"licence  {text}: {', '.join(short) or 'nothing is asked'} (--show-licenses)")
        return
    for duty in obligations.asked:
        out.line(f"licence  {duty.text} [{', '.join(duty.by)}]")
    if obligations.unknown:
        out.line(f"licence  unknown: {', '.join(term.what for term in obligations.unknown)}")


def _served(adapter: PinnedAdapter, resolution: Resolution) -> str:
    """The region of an adapter, and why it serves the requested one."""
    served, wanted = f"region {adapter.region}", resolution.region
    if adapter.card.repo_type == "model":
        served += " by its own card, which the registry has not accepted"
    if adapter.region not in [r.id for r in fallback_chain(wanted, wide=True)]:
        return f"{served}, not {wanted}: it was asked for"
    if adapter.region == wanted:
        return served
    if len(resolution.adapters) > 1:
        return f"{served}, which contains {wanted}"
    return f"{served}, which {wanted} falls back to: it has no adapter of its own"


def _pin(pinned: PinnedRepo) -> str:
    size = size_text(pinned.nbytes)
    gated = ", gated" if pinned.gated else ""
    return f"{pinned.repo} @ {pinned.revision[:12]} ({size}, {pinned.license}{gated})"


def _alpha(resolution: Resolution) -> str:
    factor = resolution.alpha
    if factor.provenance == "user":
        return f"{factor.value:g}, set by you"
    text = (
        f"{factor.value:.5f} = {factor.series} of {factor.year} / 100, KOF release {factor.release}"
    )
    if factor.fallback:
        return f"{text}, of {factor.fallback}: {resolution.region} has no value of its own"
    if len(factor.members) > 1:
        return f"{text}, mean of {len(factor.members)} countries"
    return text


def alternatives(planned: PullPlan) -> str:
    """What else there is than the merge: other policies' betas and the switch, with their effect."""
    table, resolution, switch = planned.table, planned.resolution, planned.switch
    weight = resolution.adapters[0].weight
    found = [
        text
        for outcome in (table.policies if table else ())
        if (text := outcome.short(None if len(resolution.adapters) > 1 else weight))
    ]
    if switch is not None and switch.ahead and resolution.form != "switch":
        found.append(f"--as switch: {switch.short}")
    return "; ".join(found)


def print_table(table: ParityTable | None, out: Output, *, explain: bool = False) -> None:
    """The card's test scores of base, merged and regional model; with `explain` every policy's too."""
    if table is None:
        out.line("The adapter's card has no test scores for this region.")
        return
    if not explain:
        whose = "test" if table.curve.measured_by == "registry" else "test, its author's claim"
        out.table(
            [f"{whose}, 0-100 [95 %]", *table.header()[1:-1]], [row[:-1] for row in table.rows()]
        )
        return
    claim = "" if table.curve.measured_by == "registry" else ", as its author claims"
    out.line("")
    out.table(
        table.header(),
        table.rows(),
        title=f"Test scores of the card{claim}: {table.curve.scale}, 0-100, 95 % intervals; "
        "GRP on scores above chance",
    )
    out.lines(table.notes())


def resolution_json(resolution: Resolution, planned: PullPlan) -> dict[str, Any]:
    """A resolution as JSON, with what its plan knows of licences, scores and the composition."""
    table, known = planned.table, planned.composition
    return {
        **resolution.model_dump(mode="json", exclude={"rejected"}),
        "merge_digest": resolution.merge_digest,
        "rejected": [r.model_dump() for r in resolution.rejected],
        "obligations": planned.obligations.as_dict(),
        "table": table and table.as_list(),
        "policies": table and {str(o.policy): o.as_dict() for o in table.policies},
        "seeds": table and table.seeds and table.seeds.as_dict(),
        "composition": known and {"measured": known.measured, "measured_by": known.measured_by},
    }


def print_runtimes(facts: AdapterFacts, out: Output) -> list[dict[str, Any]]:
    """The lines that load the adapter, and what each runtime needs; returns the same as JSON."""
    from ggez_hub.merging.forms.runtimes import answers, as_list, loading_lines, shown_status

    loading = loading_lines(facts)
    out.line("\n".join(("", *loading, "")))
    for name, answer in answers(facts).items():
        reason = f"  {answer.reason}" if answer.reason else ""
        out.line(f"{name:<20}{shown_status(answer):<13}{reason}".rstrip())
        for line in () if answer.lines == loading else answer.lines:
            out.line(f"    {line}")
    return as_list(facts)
