"""The steps of `pull`, told as they happen."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import click

from ggez_hub.cli.output import Output
from ggez_hub.cli.parameters import BETA
from ggez_hub.cli.pull_cache import THERE, WRITTEN, remember
from ggez_hub.cli.request import (
    as_document,
    tell_obligations,
    tell_resolution,
    tell_runtimes,
    tell_table,
)
from ggez_hub.errors import UsageProblem
from ggez_hub.hub import Hub
from ggez_hub.hub.client import page
from ggez_hub.merging.forms.runtimes import as_list
from ggez_hub.regions import find_region
from ggez_hub.registry.adapter_kinds import form_of
from ggez_hub.registry.constants import INDEX_REPO, LOCK_NAME
from ggez_hub.registry.lock import Lock, read_lock
from ggez_hub.registry.pull.choices import Undecided
from ggez_hub.registry.pull.plan import PullPlan, plan, plan_locked
from ggez_hub.registry.pull.preflight import Preflight, preflight
from ggez_hub.registry.pull.published_merge import owners_trusted
from ggez_hub.registry.pull.pull import Pulled, carry_out
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolution import Resolution
from ggez_hub.registry.resolver.composition import cosine_line


def planned_or_chosen(
    request: Request, hub: Hub, target: Path | None, out: Output, name: str, *, costs_only: bool
) -> PullPlan:
    """The plan of a request on the hub that the user calls `name`.

    Raises Undecided where it may mean several models and nobody can be asked: with --json the
    choices are then the document.
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


@dataclass(frozen=True)
class Mode:
    """How a pull is done, beside what is pulled."""

    target: Path
    locked: bool = False
    lock_file: Path | None = None
    dry_run: bool = False
    explain: bool = False
    verify: bool = False
    offline: bool = False
    hub: str = "hf"
    merge_here: bool = False
    push: str | None = None
    private: bool = False
    pr: bool = False


def run(request: Request, hub: Hub, mode: Mode, out: Output) -> Pulled | None:
    """Resolve or unlock, tell, and pull; None after a dry run."""
    if mode.locked:
        planned = plan_locked(_lock(request, mode), hub, offline=mode.offline)
    else:
        planned = planned_or_chosen(
            request, hub, mode.target, out, mode.hub, costs_only=mode.dry_run
        )
    for warning in planned.warnings:
        out.note(f"warning: {warning}")
    resolution = planned.resolution
    tell_resolution(planned, out, explain=mode.explain)
    tell_obligations(planned.obligations, out)
    if mode.dry_run:
        _tell_preflight(preflight(resolution, hub, mode.target), hub, out)
        return None
    with out.progress() as progress:
        what, total = _work(resolution)
        task = progress.add_task(what, total=total)
        pulled = carry_out(
            planned,
            hub,
            mode.target,
            wrote=lambda nbytes: progress.advance(task, nbytes),
            verify=mode.verify,
            owners=() if mode.merge_here else owners_trusted(request.trust),
        )
    if mode.push is not None:
        _push(pulled, planned, hub, mode.push, out, private=mode.private, pr=mode.pr)
    document = _tell_result(pulled, planned, hub, out)
    cards = [adapter.card for adapter in resolution.adapters]
    # Nothing but the index decided it: neither a repository's own card, nor what lies at `main`.
    by_index = all(card.repo == INDEX_REPO for card in cards) and all(
        read.card.pinned for read in planned.documents
    )
    if by_index and not (mode.locked or mode.explain or planned.warnings):
        remember(request, hub, mode.target, cards[0].revision, out, document)
    return pulled


def _push(
    pulled: Pulled, planned: PullPlan, hub: Hub, repo: str, out: Output, *, private: bool, pr: bool
) -> None:
    from ggez_hub.registry.publication.result import push, scores_beside

    beside = scores_beside(planned, hub)
    done = push(pulled, planned.obligations, hub, repo, beside=beside, private=private, pr=pr)
    if done.proposal is not None:
        out.line(f"{done.proposal.state}: {done.proposal.url}")
        return
    sent = f"sent {len(done.changed)} files" if done.changed else "unchanged"
    out.line(f"{done.repo} @ {done.revision[:12]} is {done.tag}: {sent}")


def _work(resolution: Resolution) -> tuple[str, int]:
    """What is done to how many bytes of weights."""
    if resolution.base is None:
        return "copying", sum(resolution.adapters[0].source.weight_sizes)
    return "merging", sum(resolution.base.weight_sizes)


def _lock(request: Request, mode: Mode) -> Lock:
    lock = read_lock(mode.lock_file or mode.target / LOCK_NAME)
    if lock.resolution.region != find_region(request.region).id:
        raise UsageProblem(
            f"the lock file is of the region {lock.resolution.region}, not {request.region}"
        )
    defaults = Request(request.region)
    asked = [
        OPTIONS.get(field.name, f"--{field.name.replace('_', '-')}")
        for field in fields(Request)
        if field.name not in {"region", "family"}
        and getattr(request, field.name) != getattr(defaults, field.name)
    ]
    if asked:
        raise UsageProblem(
            f"{', '.join(asked)} cannot be chosen with --locked, which resolves nothing",
            "Pull without --locked to resolve anew.",
        )
    return lock


def _tell_preflight(costs: Preflight, hub: Hub, out: Output) -> None:
    fits = "fits this machine" if costs.fits else "does not fit this machine"
    out.line(
        f"would fetch {costs.fetch_bytes / 1e6:.1f} MB, write {costs.disk_bytes / 1e6:.1f} MB in "
        f"all, take {costs.ram_bytes / 1e9:.2f} GB of memory; the weights take "
        f"{costs.vram_bytes / 1e6:.1f} MB on a device: {fits}"
    )
    for repo in costs.gated:
        out.line(f"{repo} is gated: its licence is accepted at {page(hub.endpoint, repo)}")
    out.document(vars(costs))


def _tell_result(pulled: Pulled, planned: PullPlan, hub: Hub, out: Output) -> dict[str, Any]:
    """Say what is there now; returns it as it is for --json."""
    table, resolution = planned.table, pulled.lock.resolution
    what = THERE if pulled.reused else WRITTEN
    if pulled.published:
        out.line(f"merged already: taken from {pulled.published}, and compared with its lock")
    out.line(f"{pulled.model} {what}; {pulled.folder / LOCK_NAME} pins every input")
    tell_table(table, out)
    # A folder that is there needs no inputs any more: nothing is fetched to compare them again.
    alike = () if pulled.reused else planned.cosines(hub)
    for pair in alike:
        out.line(cosine_line(pair, resolution))
    form, shown = form_of(resolution), str(pulled.model)
    if planned.switch is not None and (form.is_switch or planned.switch.ahead):
        out.line(f"The switch by prompt language is {planned.switch.text}.")
        if not form.is_switch:
            out.line(f"It keeps base and adapter apart: ggez-hub pull --region "
                     f"{resolution.region} --family {resolution.family} --as switch")  # fmt: skip
    where: dict[str, Any] = {}
    facts = form.facts(resolution, shown, pulled.model)
    if facts is None:
        out.line("\n".join(("", *form.loading_lines(resolution, shown, pulled.model))))
    else:
        tell_runtimes(facts, out)
        where = {"runtimes": as_list(facts)}
    document = {
        "out": str(pulled.folder),
        "model": str(pulled.model),
        "lock": str(pulled.folder / LOCK_NAME),
        "reused": pulled.reused,
        "published": pulled.published,
        "cosines": [vars(pair) for pair in alike],
        **as_document(resolution, planned.obligations, table, planned.composition),
        "switch": None if planned.switch is None else vars(planned.switch),
        **where,
    }
    out.document(document)
    return document
