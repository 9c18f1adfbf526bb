"""Several adapters on one base, theta_global + sum(beta_i * Delta_i): an experiment, asked for.

Nothing is known of the sum from the parts: each beta was chosen as if its adapter were alone. It is
labelled unmeasured until a joint sweep has measured it, whose curve stands on one of the cards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from ggez_hub.errors import UsageProblem
from ggez_hub.families import get_family
from ggez_hub.hub import Hub
from ggez_hub.merging.similarity import Cosine, cosines
from ggez_hub.parity.betas import point
from ggez_hub.regions import find_region
from ggez_hub.registry.index.entries import Entry
from ggez_hub.registry.kinds import get_kind
from ggez_hub.registry.pulling.pull import fetch_pinned
from ggez_hub.registry.resolution import Resolution
from ggez_hub.registry.resolving.joint import Together

UNMEASURED = (
    "a composition of several adapters, unmeasured: each beta was chosen as if its adapter were "
    "alone (a joint sweep measures them together)"
)

# Points of a joint curve that are named.
MOST = 8


@dataclass(frozen=True)
class Standing:
    """Whether a composition was measured at its betas, by whom, and that in words."""

    measured: bool
    measured_by: str | None
    text: str


def standing(resolution: Resolution, together: Together | None) -> Standing:
    """What is known of a composition, whose joint curve is `together` if there is one."""
    if resolution.by_part:
        return Standing(
            False, None, "a composition of several adapters, unmeasured: nobody measured it by part"
        )
    if together is None:
        return Standing(False, None, UNMEASURED)
    seen = together.curve("validation")
    here = point([adapter.weight or 0.0 for adapter in resolution.adapters])
    if seen.index(here) is None:
        points = [f"{beta:g}" for beta in seen.betas]
        more = f" and {len(points) - MOST} more" if len(points) > MOST else ""
        return Standing(
            False,
            None,
            "a composition of several adapters, unmeasured at these betas: its joint curve has "
            f"{', '.join(points[:MOST])}{more}",
        )
    claim = "" if seen.measured_by == "registry" else ", as the author of its card claims"
    return Standing(
        True,
        seen.measured_by,
        "a composition of several adapters, measured together on the tasks of "
        f"{together.joint.region}{claim}",
    )


class Overlap(UsageProblem):
    """The adapters of a composition were trained for regions that share countries."""


def check_composition(entries: Sequence[Entry], *, allow_overlap: bool) -> None:
    """Raise UsageProblem or Overlap unless the adapters may be composed."""
    repos = [entry.repo for entry in entries]
    if len(set(repos)) < len(repos):
        raise UsageProblem("an adapter is asked for twice", "Give it once, with a larger --beta.")
    families = sorted({entry.summary.family for entry in entries})
    if len(families) > 1:
        raise UsageProblem(f"the adapters are of several families: {', '.join(families)}")
    for entry in entries:
        kind = get_kind(entry.summary.kind)
        if not kind.combined:
            raise UsageProblem(f"{entry.repo} is {kind.noun}: nothing can be added to it")
    for one, other in combinations(entries, 2):
        shared = _shared(one, other)
        if shared and not allow_overlap:
            raise Overlap(
                f"the data of {one.repo} ({one.summary.region}) and {other.repo} "
                f"({other.summary.region}) overlap in {shared}: what they share would "
                "count twice",
                "Add --allow-overlap if that is meant.",
            )


def compared(resolution: Resolution, hub: Hub) -> tuple[Cosine, ...]:
    """cos(Delta_i, Delta_j) of a composition's adapters, from the cache; empty for a single one."""
    if len(resolution.adapters) < 2:
        return ()
    folders = [fetch_pinned(adapter.source, hub) for adapter in resolution.adapters]
    base = fetch_pinned(resolution.merged_into, hub)
    return cosines(base, folders, get_family(resolution.family))


def cosine_line(pair: Cosine, resolution: Resolution) -> str:
    """A pair in words."""
    one, other = (resolution.adapters[n].source.repo for n in (pair.first, pair.second))
    value = "undefined: one is zero" if pair.value is None else f"{pair.value:+.4f}"
    return f"cos(Delta of {one}, Delta of {other}) = {value}"


def _shared(one: Entry, other: Entry) -> str:
    """The countries that two adapters' regions share, or might share; empty for none."""
    regions = [find_region(entry.summary.region) for entry in (one, other)]
    if regions[0].id == regions[1].id:
        return regions[0].id
    if not all(region.members for region in regions):
        return "countries that are not known"
    return ", ".join(sorted(set(regions[0].members) & set(regions[1].members)))
