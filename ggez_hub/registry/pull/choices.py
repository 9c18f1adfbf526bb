"""A request that names nothing but a region: one entry that the index recommends, or a choice.

Nothing is guessed, and no large download is begun unasked. Adapters of several families, or on
several bases, are choices; so is a single large one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ggez_hub.command_line import command_line
from ggez_hub.errors import UsageProblem
from ggez_hub.hardware import size_text
from ggez_hub.hub import Hub
from ggez_hub.registry.pull.preflight import Preflight, preflight
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolution import Rejected
from ggez_hub.registry.resolver.candidates import RankedCandidate
from ggez_hub.registry.resolver.resolver import NoAdapter, Resolved, Survey, resolve, survey

# A download up to this size may begin without having been asked for by name.
UNASKED_BYTES = 1_000_000_000
# Candidates that are named beside the choices although they cannot be taken.
SHOWN = 5


@dataclass(frozen=True)
class ModelChoice:
    """One of several models that a bare request may mean, with its costs and its command.

    One that `needs_beta` has no scores to choose it by: its command names 1, the adapter as it is.
    """

    resolved: Resolved
    costs: Preflight
    recommended: bool
    measured: bool
    needs_beta: bool
    command: str

    @property
    def repo(self) -> str:
        return self.resolved.resolution.adapters[0].source.repo

    def lines(self) -> tuple[str, str]:
        resolution, costs = self.resolved.resolution, self.costs
        base = f"{resolution.base.repo} + " if resolution.base else ""
        notes = [
            ", ".join(self.resolved.obligations.of_weights),
            f"gated ({', '.join(costs.gated)})" if costs.gated else "not gated",
            "measured by the registry" if self.measured else "not measured",
            *(["recommended"] if self.recommended else []),
            *(["no beta is known, 1 is all of it"] if self.needs_beta else []),
            "; ".join(costs.lacking) or "fits this machine",
        ]
        return (
            f"{resolution.family}: {base}{self.repo}: {size_text(costs.fetch_bytes)} to fetch, "
            f"{size_text(costs.disk_bytes)} of disk, {size_text(costs.ram_bytes)} of memory, "
            f"{size_text(costs.vram_bytes)} on a device; {'; '.join(notes)}",
            self.command,
        )

    def as_dict(self) -> dict[str, Any]:
        resolution = self.resolved.resolution
        return {
            "family": resolution.family,
            "base": resolution.base.repo if resolution.base else None,
            "adapter": self.repo,
            "kind": resolution.adapters[0].kind,
            "region": resolution.adapters[0].region,
            "recommended": self.recommended,
            "measured": self.measured,
            "needs_beta": self.needs_beta,
            **self.costs.as_dict(),
            "command": self.command,
        }


class Undecided(UsageProblem):
    """The request may mean several models, `choices`."""

    def __init__(
        self,
        region: str,
        choices: Sequence[ModelChoice],
        left_out: Sequence[Rejected] = (),
        shipped: str = "",
    ) -> None:
        what = "one model serves" if len(choices) == 1 else f"{len(choices)} models serve"
        marked = next((choice for choice in choices if choice.recommended), None)
        why = "" if marked is None else "; ".join(marked.costs.lacking)
        not_taken = f", and the recommended one is not taken ({why})" if why else ""
        lines = [f"{what} {region}{not_taken}; choose one:"]
        if shipped:
            lines.insert(0, f"{shipped}.")
        for choice in choices:
            lines += (f"  {choice.lines()[0]}", f"      {choice.lines()[1]}")
        lines += (f"  left out: {other.repo} {other.reason}" for other in left_out[:SHOWN])
        super().__init__("\n".join(lines), "Nothing is taken unasked; run one of these commands.")
        self.choices = tuple(choices)


def decide(request: Request, hub: Hub, out: Path, *, costs_only: bool = False) -> Resolved:
    """The resolution of `request`, which may be bare.

    With `costs_only` nothing will be fetched, so that a single choice may be of any size. Raises
    Undecided, and what `resolve` raises.
    """
    if not request.bare:
        return resolve(request, hub)
    if request.parts:
        raise UsageProblem(
            "--betas names the tensors of one base, and no base was named",
            "Name it with --family, --base or --adapter.",
        )
    seen = survey(request, hub)
    choices, left_out = _choices(seen, hub, out)
    if not choices:
        return seen.first(seen.order)
    marked = [choice for choice in choices if choice.recommended and not choice.needs_beta]
    if marked and (marked[0].costs.fits or (costs_only and len(choices) == 1)):
        return marked[0].resolved
    (*_, last) = choices
    # A small one that does not fit gets an error of its own with what is lacking.
    small = costs_only or last.costs.fetch_bytes <= UNASKED_BYTES
    if len(choices) == 1 and small and not last.needs_beta:
        return last.resolved
    raise Undecided(seen.resolver.chain[0].id, choices, left_out, seen.found.shipped)


def model_choices(request: Request, hub: Hub, out: Path) -> list[ModelChoice]:
    """Every model that serves the region of a request, one for each family and base.

    Raises NoAdapter, and what `survey` raises.
    """
    seen = survey(request, hub)
    choices, _ = _choices(seen, hub, out)
    if not choices:
        seen.first(seen.order)
    return choices


def _choices(seen: Survey, hub: Hub, out: Path) -> tuple[list[ModelChoice], list[Rejected]]:
    """One choice for each family and base: the recommended, or the first that can be pinned.

    And the candidates of those of which none can be.
    """
    groups: dict[tuple[str, str], list[RankedCandidate]] = {}
    for candidate in seen.order:
        summary = candidate.entry.summary
        groups.setdefault((summary.family, summary.base_repo), []).append(candidate)
    for group in groups.values():
        # Stable: the nearer region's recommendation first, then the order as it is.
        group.sort(key=lambda candidate: not candidate.entry.summary.recommended)
    seen.resolver.ask_for(group[0].entry for group in groups.values())
    found: list[ModelChoice] = []
    left_out: list[Rejected] = []
    region = seen.resolver.chain[0].id
    for group in groups.values():
        first, needs_beta = _first(seen, group), False
        if not isinstance(first, Resolved) and seen.resolver.request.beta is None:
            request = replace(seen.resolver.request, beta=1.0)
            given = replace(seen, resolver=replace(seen.resolver, request=request))
            first, needs_beta = _first(given, group), True
        if not isinstance(first, Resolved):
            left_out += first
            continue
        resolved, (pinned,) = first, first.resolution.adapters
        taken = pinned.source.repo
        entry = next(c.entry for c in group if c.entry.card == pinned.card)
        found.append(
            ModelChoice(
                resolved,
                preflight(resolved.resolution, hub, out),
                recommended=entry.summary.recommended,
                measured=bool(entry.ranking),
                needs_beta=needs_beta,
                command=command_line(
                    "pull",
                    {"--region": region, "--adapter": taken, "--dry-run": None}
                    | ({"--beta": 1} if needs_beta else {}),
                ),
            )
        )
    return found, left_out


def _first(seen: Survey, group: Sequence[RankedCandidate]) -> Resolved | tuple[Rejected, ...]:
    try:
        return seen.first(group)
    except NoAdapter as problem:
        return problem.failed
