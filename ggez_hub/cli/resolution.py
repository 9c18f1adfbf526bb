"""A resolution and what its plan knows, as text and JSON: for `pull`, `resolve`, `demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ggez_hub.cli.output import Output
from ggez_hub.hardware import size_text
from ggez_hub.regions import fallback_chain

if TYPE_CHECKING:
    from ggez_hub.merging.forms.adapter_facts import AdapterFacts
    from ggez_hub.registry.licences import Obligations
    from ggez_hub.registry.pull.parity_table import ParityTable
    from ggez_hub.registry.pull.plan import PullPlan
    from ggez_hub.registry.resolution import PinnedAdapter, PinnedRepo, Resolution


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
