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
from ggez_hub.cli.request import (
    PullOptions,
    print_resolution,
    print_runtimes,
    print_table,
    resolution_json,
)
from ggez_hub.errors import UsageProblem
from ggez_hub.hub import Hub
from ggez_hub.progress import task
from ggez_hub.quantities import counted
from ggez_hub.regions import find_region
from ggez_hub.registry.adapter_kinds import form_of
from ggez_hub.registry.constants import INDEX_REPO, LOCK_NAME
from ggez_hub.registry.lock import Lock, read_lock
from ggez_hub.registry.pull.choices import Undecided
from ggez_hub.registry.pull.plan import PullPlan, plan, plan_locked
from ggez_hub.registry.pull.preflight import preflight
from ggez_hub.registry.pull.published_merge import owners_trusted
from ggez_hub.registry.pull.pull import Pulled, carry_out
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolver.composition import cosine_line


def plan_or_ask(
    request: Request, hub: Hub, target: Path | None, out: Output, name: str, *, costs_only: bool
) -> PullPlan:
    """The plan of a request on the hub `name`; of several models it asks, on a terminal, which.

    Elsewhere it raises Undecided, after the choices were printed with --json.
    """
    options = "" if name == "hf" else f" --hub {name}"
    options += "" if request.form == Request.form else f" --as {request.form}"
    try:
        return plan(request, hub, target, costs_only=costs_only, options=options)
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
        planned = plan_locked(_lock(request, options), hub, offline=options.offline)
    else:
        planned = plan_or_ask(request, hub, target, out, options.hub, costs_only=options.dry_run)
    for warning in planned.warnings:
        out.note(f"warning: {warning}")
    resolution = planned.resolution
    print_resolution(planned, out, explain=options.explain)
    if options.dry_run:
        _print_costs(planned, hub, target, out)
        return None
    what, source = "merging", resolution.base
    if source is None:
        what, source = "copying", resolution.adapters[0].source
    with task(what, sum(source.weight_sizes), "bytes") as merging:
        owners = () if options.merge_here else owners_trusted(request.trust)
        pulled = carry_out(
            planned, hub, target, wrote=merging.advance, verify=options.verify, owners=owners
        )
    if options.repo is not None:
        _push(pulled, planned, hub, options, out)
    document = _print_result(pulled, planned, hub, out)
    cards = [adapter.card for adapter in resolution.adapters]
    # Nothing but the index decided it: neither a repository's own card, nor what `main` is now.
    by_index = all(card.repo == INDEX_REPO for card in cards) and all(
        read.card.pinned for read in planned.documents
    )
    if by_index and not (options.locked or options.explain or planned.warnings):
        remember(request, hub, target, cards[0].revision, out, document)
    return pulled


def _push(pulled: Pulled, planned: PullPlan, hub: Hub, options: PullOptions, out: Output) -> None:
    from ggez_hub.registry.publication.result import push, scores_beside

    done = push(
        pulled,
        planned.obligations,
        hub,
        options.repo or "",
        beside=scores_beside(planned, hub),
        private=options.private,
        pr=options.pr,
    )
    if done.proposal is not None:
        out.line(f"{done.proposal.state}: {done.proposal.url}")
        return
    sent = f"sent {counted(len(done.changed), 'file')}" if done.changed else "unchanged"
    out.line(f"{done.repo} @ {done.revision[:12]} is {done.tag}: {sent}")


def _lock(request: Request, options: PullOptions) -> Lock:
    lock = read_lock(options.lock_file or options.target / LOCK_NAME)
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
    fits = "fits this machine" if costs.fits else "does not fit this machine"
    out.line(
        f"would fetch {costs.fetch_bytes / 1e6:.1f} MB, write {costs.disk_bytes / 1e6:.1f} MB in "
        f"all, take {costs.ram_bytes / 1e9:.2f} GB of memory; the weights take "
        f"{costs.vram_bytes / 1e6:.1f} MB on a device: {fits}"
    )
    for repo in costs.gated:
        out.line(f"{repo} is gated: its licence is accepted at {hub.page(repo)}")
    out.document(vars(costs))


def _print_result(pulled: Pulled, planned: PullPlan, hub: Hub, out: Output) -> dict[str, Any]:
    """Print the result; returns its JSON."""
    resolution = pulled.lock.resolution
    what = THERE if pulled.reused else WRITTEN
    if pulled.published:
        out.line(f"merged already: taken from {pulled.published}, and compared with its lock")
    out.line(f"{pulled.model} {what}; {pulled.folder / LOCK_NAME} pins every input")
    print_table(planned.table, out)
    # For a folder that exists, no inputs are fetched to be compared again.
    alike = () if pulled.reused else planned.cosines(hub)
    for pair in alike:
        out.line(cosine_line(pair, resolution))
    form, shown = form_of(resolution), str(pulled.model)
    if planned.switch is not None and (form.is_switch or planned.switch.ahead):
        out.line(f"The switch by prompt language is {planned.switch.text}.")
        if not form.is_switch:
            out.line(
                f"It keeps base and adapter apart: ggez-hub pull --region "
                f"{resolution.region} --family {resolution.family} --as switch"
            )
    where: dict[str, Any] = {}
    facts = form.facts(resolution, shown, pulled.model)
    if facts is None:
        out.line("\n".join(("", *form.loading_lines(resolution, shown, pulled.model))))
    else:
        where = {"runtimes": print_runtimes(facts, out)}
    document = {
        "out": str(pulled.folder),
        "model": str(pulled.model),
        "lock": str(pulled.folder / LOCK_NAME),
        "reused": pulled.reused,
        "published": pulled.published,
        "cosines": [vars(pair) for pair in alike],
        **resolution_json(resolution, planned),
        "switch": planned.switch and vars(planned.switch),
        **where,
    }
    out.document(document)
    return document
