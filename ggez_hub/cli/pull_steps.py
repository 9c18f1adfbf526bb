"""The steps of `pull`: plan, merge, publish, each printed as it happens."""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click

from ggez_hub.cli.output import Output
from ggez_hub.cli.parameters import BETA
from ggez_hub.cli.pull_cache import THERE, WRITTEN, remember
from ggez_hub.cli.request import PullOptions
from ggez_hub.cli.resolution import (
    alternatives,
    print_resolution,
    print_runtimes,
    print_table,
    resolution_json,
)
from ggez_hub.command_line import command_line
from ggez_hub.errors import UsageProblem
from ggez_hub.hardware import size_text
from ggez_hub.hub import Hub
from ggez_hub.merging.forms.adapter_facts import AdapterFacts
from ggez_hub.merging.forms.runtimes import as_list, loading_call, loading_lines
from ggez_hub.progress import task
from ggez_hub.quantities import counted
from ggez_hub.regions import find_region
from ggez_hub.registry.adapter_kinds import form_of
from ggez_hub.registry.affected import yanked_among
from ggez_hub.registry.constants import CARD_NAME
from ggez_hub.registry.index.search import yanked_adapters
from ggez_hub.registry.lock import Lock, lock_place, locks_in, read_lock
from ggez_hub.registry.pull.choices import Undecided
from ggez_hub.registry.pull.plan import PullPlan, plan, plan_locked
from ggez_hub.registry.pull.preflight import preflight
from ggez_hub.registry.pull.published_merge import owners_trusted
from ggez_hub.registry.pull.pull import Pulled, carry_out, check
from ggez_hub.registry.pull.result_card import with_base
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolution import Resolution
from ggez_hub.registry.resolver.composition import cosine_line


def plan_or_ask(
    request: Request, hub: Hub, target: Path | None, out: Output, *, costs_only: bool
) -> PullPlan:
    """The plan of a request; of several models it asks, on a terminal, which.

    Elsewhere it raises Undecided, after the choices were printed with --json.
    """
    try:
        return plan(request, hub, target, costs_only=costs_only)
    except Undecided as undecided:
        if not (out.for_people and sys.stdin.isatty() and sys.stdout.isatty()):
            out.document({"choices": [choice.as_dict() for choice in undecided.choices]})
            raise
        for number, choice in enumerate(undecided.choices, start=1):
            out.line(f"{number}  {choice.lines()[0]}")
        count = len(undecided.choices)
        picked = click.prompt("Which one", type=click.IntRange(1, count), err=True)
        choice = undecided.choices[picked - 1]
        beta = request.beta
        if choice.needs_beta:
            beta = click.prompt("beta", type=BETA, err=True)
    chosen = replace(request, adapters=(choice.repo,), beta=beta)
    return plan(chosen, hub, target, costs_only=costs_only)


# Fields of a request whose option has another name.
OPTIONS = {"form": "--as", "adapters": "--adapter", "wide": "--fallback", "parts": "--betas"}


def run_pull(request: Request, hub: Hub, options: PullOptions, out: Output) -> Pulled | None:
    """Resolve or read the lock, and pull; None after a dry run."""
    target = options.target
    if options.locked:
        planned = plan_locked(_lock(request, options), hub)
    else:
        planned = plan_or_ask(request, hub, target, out, costs_only=options.dry_run)
        _print_yanked(request, hub, target, out)
    # What cannot be done is said before what would be.
    costs = None if options.dry_run else check(planned, hub, target, verify=options.verify)
    for warning in planned.warnings:
        out.note(f"warning: {warning}")
    if planned.shipped:
        out.note(f"{planned.shipped}.")
    resolution = planned.resolution
    print_resolution(planned, out, explain=options.explain, licences=options.show_licenses)
    if options.dry_run:
        _print_costs(planned, hub, target, out)
        return None
    what, source = "merging", resolution.base
    if source is None:
        what, source = "copying", resolution.adapters[0].source
    with task(what, sum(source.weight_sizes), "bytes") as merging:
        owners = () if options.merge_here else owners_trusted(request.trust)
        pulled = carry_out(planned, hub, target, merging.advance, owners=owners, costs=costs)
    if options.repo is not None:
        _push(pulled, planned, hub, options, out)
    document = _print_result(pulled, planned, hub, options, out)
    cards = [adapter.card for adapter in resolution.adapters]
    # Nothing but the index decided it: neither a repository's own card, nor what `main` is now.
    by_index = all(card.repo_type == "dataset" for card in cards) and all(
        read.card.pinned for read in planned.documents
    )
    if by_index and options.is_plain and not planned.warnings:
        remember(request, hub, target, cards[0].revision, out, document)
    return pulled


def _print_yanked(request: Request, hub: Hub, target: Path, out: Output) -> None:
    """Print what was yanked since of the models that are in the folder already."""
    if locks := locks_in(target):
        yanked = yanked_adapters(hub, request.index)
        for file in locks:
            for cause in yanked_among(read_lock(file), yanked):
                out.note(f"warning: {file.parent} holds a model of what is out of use: {cause}")


def _push(pulled: Pulled, planned: PullPlan, hub: Hub, options: PullOptions, out: Output) -> None:
    from ggez_hub.registry.publication.result import bill_beside, push, scores_beside

    repo = options.repo or ""

    done = push(
        pulled,
        planned.obligations,
        hub,
        repo,
        beside=scores_beside(planned, hub) | bill_beside(pulled, planned, hub, repo),
        private=options.private,
        pr=options.pr,
        by=options.by,
    )
    if done.proposal is not None:
        out.line(f"{done.proposal.state}: {done.proposal.url}")
        return
    sent = f"sent {counted(len(done.changed), 'file')}" if done.changed else "unchanged"
    out.line(f"{done.repo} @ {done.revision[:12]} is {done.tag}: {sent}")


def _lock(request: Request, options: PullOptions) -> Lock:
    lock = read_lock(options.lock_file or lock_place(options.target, request.family))
    if lock.resolution.region != find_region(request.region).id:
        raise UsageProblem(
            f"the lock file is of the region {lock.resolution.region}, not {request.region}"
        )
    defaults = Request(request.region)
    given = [
        OPTIONS.get(field.name, f"--{field.name.replace('_', '-')}")
        for field in fields(Request)
        if field.name not in {"region", "family"}
        and getattr(request, field.name) != getattr(defaults, field.name)
    ]
    if given:
        raise UsageProblem(
            f"{', '.join(given)} cannot be chosen with --locked, which resolves nothing",
            "Pull without --locked to resolve again.",
        )
    return lock


def _print_costs(planned: PullPlan, hub: Hub, target: Path, out: Output) -> None:
    costs = preflight(planned.resolution, hub, target)
    out.line(
        f"would fetch {size_text(costs.fetch_bytes)}, write {size_text(costs.disk_bytes)} in all, "
        f"take {size_text(costs.ram_bytes)} of memory; the weights take "
        f"{size_text(costs.vram_bytes)} on a device: {'; '.join(costs.lacking) or 'fits this machine'}"
    )
    for repo in costs.gated:
        out.line(f"{repo} is gated: its licence is accepted at {hub.page(repo)}")
    out.document(costs.as_dict())


def _print_result(
    pulled: Pulled, planned: PullPlan, hub: Hub, options: PullOptions, out: Output
) -> dict[str, Any]:
    """Print the result; returns its JSON."""
    resolution, explain = pulled.lock.resolution, options.explain
    print_table(planned.table, out, explain=explain)
    # For a folder that exists, no inputs are fetched to be compared again.
    alike = () if pulled.reused else planned.cosines(hub)
    for pair in alike:
        out.line(cosine_line(pair, resolution))
    if instead := alternatives(planned):
        out.line(f"instead  {instead}")
    form, model, switch = form_of(resolution), pulled.model, planned.switch
    if switch is not None and (form.is_switch or (explain and switch.ahead)):
        out.line(f"The switch by prompt language is {switch.text}.")
    if pulled.published:
        out.line(f"merged already: taken from {pulled.published}, and compared with its lock")
    what = THERE if pulled.reused else WRITTEN
    place, name = pulled.folder, pulled.folder.name
    if len(locks_in(place)) > 1:
        place, name = model, f"{name}-{resolution.family}"
    page = command_line("report", {"": place, "-o": f"{name}.html", **_hub_option(hub)})
    # Without scores a report has nothing to show.
    scores = f"; scores: {page}" if planned.table else ""
    out.line(f"folder   {model} {what}; {pulled.lock_file} pins every input{scores}")
    where: dict[str, Any] = {}
    facts = form.facts(resolution, str(model), model)
    base = ""
    lines = form.loading_lines(resolution, str(model), model)
    if facts is not None:
        facts, base = _with_base(facts, resolution, hub, pulled.folder)
        where, lines = {"runtimes": as_list(facts)}, loading_lines(facts)
    if not explain:
        out.line(f"load     {loading_call(lines)} (all lines: {model / CARD_NAME}{base})")
    elif facts is None:
        out.line("\n".join(("", *lines)))
    else:
        print_runtimes(facts, out)
    document = {
        "out": str(pulled.folder),
        "model": str(model),
        "lock": str(pulled.lock_file),
        "reused": pulled.reused,
        "published": pulled.published,
        "cosines": [vars(pair) for pair in alike],
        **resolution_json(resolution, planned),
        "switch": switch and {"ahead": switch.ahead, "text": switch.text},
        **where,
    }
    out.document(document)
    return document


def _with_base(
    facts: AdapterFacts, resolution: Resolution, hub: Hub, folder: Path
) -> tuple[AdapterFacts, str]:
    """The facts with the lines that load the base, and how it is had where the hub ends with the command."""
    if not hub.temporary:
        return with_base(facts, resolution, hub), ""
    place = f"{folder}-base"
    dropped = ("--as", "--policy", "--betas", "--explain", "--show-licenses", "--locked", "--lock")
    pull = command_line(
        "pull",
        {"--region": resolution.region, "--adapter": resolution.adapters[0].source.repo}
        | {"--beta": 0, "-o": place, **_hub_option(hub), **dict.fromkeys(dropped)},
    )
    facts = with_base(facts, resolution, hub, f"{place}/{resolution.family}", f"  # {pull}")
    return facts, f"; base: {pull}"


def _hub_option(hub: Hub) -> dict[str, str]:
    """Of a command without --hub, as `demo`, that which names its hub in another command."""
    return {"--hub": "embedded"} if hub.temporary else {}
